"""What a stream is judged by: every row was predicted before its label was seen.

Shapes: N rows in time order, P policies. Gama, Sebastiao and Rodrigues, "On evaluating stream learning algorithms",
Machine Learning 2013 (fading factors); Zliobaite et al., "Evaluation methods and decision theory for classification of
streaming data with temporal dependence", Machine Learning 2015 (Kappa-T).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]


def fading(values: Array, factor: float, at: NDArray[np.int64]) -> Array:
    """Return the mean of values (N,) with weights that fall by `factor` a row, at rows `at`; nan is left out."""
    return np.asarray(pd.Series(values).ewm(alpha=1 - factor).mean(), dtype=float)[at]


def windowed(values: Array, window: int, at: NDArray[np.int64]) -> Array:
    """Return the mean of values (N,) over the last `window` rows up to each of the rows `at`; nan is left out."""
    known = ~np.isnan(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(known, values, 0.0))])
    count = np.concatenate([[0], np.cumsum(known)])
    first = np.maximum(at + 1 - window, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((sums[at + 1] - sums[first]) / (count[at + 1] - count[first]))


def kappa_temporal(accuracy: float, no_change: float) -> float:
    """Return (accuracy - that of no change) / (1 - that of no change): 0 for the last label again, 1 for no error."""
    return (accuracy - no_change) / (1 - no_change) if no_change < 1 else float("nan")


def tracking(losses: Array, switches: int) -> float:
    """Return the least total loss of a sequence of policies that changes at most `switches` times; losses (T, P)."""
    best = np.full((switches + 1, losses.shape[1]), np.inf)
    best[0] = 0.0
    for now in np.nan_to_num(losses, nan=np.inf):
        changed = np.concatenate([np.full((1, losses.shape[1]), np.inf), np.repeat(
            best[:-1].min(1, keepdims=True), losses.shape[1], 1)])  # fmt: skip
        best = np.minimum(best, changed) + now
    return float(best.min())


def recovery(errors: Array, drifts: Sequence[int], window: int, tolerance: float) -> list[int | None]:
    """Return, for every drift, after how many rows the error of `window` rows is back, None where it never is.

    Back is at most `tolerance` above the error of the `window` rows before the drift; a window counts where it lies
    behind the drift and before the next one.
    """
    found: list[int | None] = []
    for number, drift in enumerate(drifts):
        end = drifts[number + 1] if number + 1 < len(drifts) else len(errors)
        before = np.nanmean(errors[max(drift - window, 0) : drift]) if drift else np.nan
        after = np.arange(drift + window - 1, end)
        if not len(after) or np.isnan(before):
            found.append(None)
            continue
        good = windowed(errors, window, after) <= before + tolerance
        found.append(int(after[good.argmax()] + 1 - drift) if good.any() else None)
    return found
