"""Metrics of one task each, and the intervals over tasks; every one is checked against a hand-computed value."""
