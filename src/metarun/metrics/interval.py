"""From one value per task to a reported value with a 95 % interval over tasks.

A reported value is a smooth function of means over tasks. Its influence values (T,) say how much each task moves it,
so one rule serves the mean, the root mean squared error and F1, alone and as a paired difference:
half-width = q * sd(influence) / sqrt(T), sd with ddof 1; q = 1.96, below 100 tasks Student's t quantile of T - 1
degrees of freedom.

    >>> estimate([1.0, 2.0, 3.0], "mae")          # 2 +- 4.303 * 1 / sqrt(3)
    Estimate(value=2.0, ci95=2.484165003242203, n=3)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

BY_ROW = ("rmse", "mae", "accuracy", "log_loss", "squared_error", "absolute_error")
"""Metrics of which every row may count alike, whatever the size of its task."""
NORMAL_95 = 1.96
# From this many tasks on the normal quantile serves: Student's is then at most 1.3 % larger.
MANY = 100
# Student's .975 quantile at 1 to 6 degrees of freedom, where the expansion of `quantile` is not yet exact.
FEW = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469)


class Estimate(NamedTuple):
    """A value, the half-width of its 95 % interval (nan below two tasks), and the number of tasks behind it."""

    value: float
    ci95: float
    n: int

    @property
    def significant(self) -> bool:
        """Whether the interval excludes 0; never without an interval."""
        return bool(abs(self.value) > self.ci95)


def estimate(values: ArrayLike, metric: str) -> Estimate:
    """Return the reported value of `metric` from the tasks' values.

    values: (T,) one per task; for "rmse" the tasks' mean squared errors, for f1 the tasks' (precision, recall), (T, 2).
    Those of BY_ROW also take (T, 2), (value, rows): then every row counts alike, not every task.
    A task that diverged (inf or nan) makes the value inf or nan: it is not dropped.
    """
    value, influence = influences(values, metric)
    return Estimate(value, _half_width(influence), len(influence))


def paired(a: ArrayLike, b: ArrayLike, metric: str) -> Estimate:
    """Return the difference a - b on the same tasks, in the same order, with an interval of its own.

    a, b: as the values of `estimate`. Raises ValueError where the numbers of tasks differ.
    """
    value_a, influence_a = influences(a, metric)
    value_b, influence_b = influences(b, metric)
    if len(influence_a) != len(influence_b):
        raise ValueError(f"a paired difference needs the same tasks: {len(influence_a)} against {len(influence_b)}")
    with np.errstate(invalid="ignore"):
        return Estimate(value_a - value_b, _half_width(influence_a - influence_b), len(influence_a))


def influences(values: ArrayLike, metric: str) -> tuple[float, Array]:
    """Return the value of `metric` and the influence of each task on it, (T,) with mean 0.

    rmse = sqrt(m), so its influence is that of the mean squared error m over 2 sqrt(m) (the delta method).
    With rows the mean is the ratio sum(rows * error) / sum(rows).
    f1 = 2 P R / (P + R) of the mean precision P and the mean recall R, not the mean of the tasks' own F1.
    """
    columns = np.asarray(values, dtype=np.float64)
    if columns.ndim == 2 and metric in BY_ROW:
        return _by_row(columns, metric)
    two = metric.split("@")[0] == "f1"
    if columns.ndim != 1 + two or (two and columns.shape[1] != 2):
        raise ValueError(f"{metric} needs values of shape {'(T, 2)' if two else '(T,)'}, got {columns.shape}")
    if len(columns) == 0:
        return float("nan"), np.zeros(0)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        means = columns.mean(axis=0)
        centred = columns - means
        if metric == "rmse":
            root = float(np.sqrt(means))
            # Every task predicted exactly: the value is 0 and no task moves it, where the derivative has no value.
            return root, centred if root == 0 else centred / (2 * root)
        if two:
            precision, recall = means
            total = precision + recall
            if total == 0:
                return 0.0, np.zeros(len(columns))
            slopes = np.array([2 * recall**2, 2 * precision**2]) / total**2
            return float(2 * precision * recall / total), centred @ slopes
        return float(means), centred


def _by_row(columns: Array, metric: str) -> tuple[float, Array]:
    """Return the error over all rows and the tasks' influences on it; columns (T, 2): error, rows."""
    if columns.shape[1:] != (2,) or len(columns) == 0:
        raise ValueError(f"{metric} over rows needs (error, rows) of at least one task, got {columns.shape}")
    error, rows = columns.T
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        mean = float((error * rows).sum() / rows.sum())
        influence = rows * (error - mean) / rows.mean()
        if metric != "rmse" or mean == 0:
            return mean, influence
        return mean**0.5, influence / (2 * mean**0.5)


def quantile(tasks: int) -> float:
    """Return what a 95 % interval over `tasks` >= 2 takes of the standard error: 1.96, or Student's where they are few.

    Student's quantile by its Cornish-Fisher expansion in 1 / degrees of freedom, exact to three decimals from 7 on.
    """
    if tasks >= MANY:
        return NORMAL_95
    freedom, z = tasks - 1, 1.959964
    if freedom <= len(FEW):
        return FEW[freedom - 1]
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / float(freedom) ** power for power, term in enumerate(terms, start=1))


def _half_width(influence: Array) -> float:
    """Return `quantile` standard errors of the mean influence (T,); nan below two tasks."""
    if len(influence) < 2:
        return float("nan")
    with np.errstate(invalid="ignore", over="ignore"):
        return float(quantile(len(influence)) * influence.std(ddof=1) / np.sqrt(len(influence)))
