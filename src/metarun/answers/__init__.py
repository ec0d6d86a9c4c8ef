"""Answers of a finished run: what to recommend to a person, and why, without the training data.

Nothing here composes a config or imports Lightning; a run leaves one file of plain values and tensors (export.py).
"""
