"""Holm's correction for many comparisons (1979): the family-wise error stays below the level, whatever depends on what.

>>> holm([0.01, 0.04, 0.03])
[0.03, 0.06, 0.06]
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def holm(p: Sequence[float]) -> list[float]:
    """Return the adjusted p-values in the same order; nan is no comparison: it stays nan and is not counted."""
    known = sorted((value, place) for place, value in enumerate(p) if not math.isnan(value))
    adjusted, highest = [math.nan] * len(p), 0.0
    for rank, (value, place) in enumerate(known):
        # Never below that of a smaller p, so that the order stays.
        highest = max(highest, min(1.0, (len(known) - rank) * value))
        adjusted[place] = highest
    return adjusted
