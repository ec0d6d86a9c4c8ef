"""Clips of sound: files to samples, samples to spectrograms, and what disturbs them."""
