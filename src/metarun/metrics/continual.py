"""What a sequence of tasks is judged by: R (T + 1, T), accuracy on each task before the first and after each task.

Lopez-Paz and Ranzato, "Gradient episodic memory", NeurIPS 2017 (transfer); Chaudhry et al., "Riemannian walk", ECCV
2018 (forgetting).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def final(r: Array) -> float:
    """Return the mean accuracy on all tasks after the last one."""
    return float(r[-1].mean())


def learned(r: Array) -> float:
    """Return the mean accuracy on each task just after it."""
    return float(np.diag(r[1:]).mean())


def forgetting(r: Array) -> float:
    """Return by how much the last accuracy is below the best one that there was, mean over all tasks but the last."""
    return float((r[1:, :-1].max(0) - r[-1, :-1]).mean()) if r.shape[1] > 1 else float("nan")


def backward(r: Array) -> float:
    """Return the last accuracy less that just after the task, mean over all tasks but the last."""
    return float((r[-1] - np.diag(r[1:]))[:-1].mean()) if r.shape[1] > 1 else float("nan")


def forward(r: Array) -> float:
    """Return the accuracy on a task just before it less that before the first, mean over all tasks but the first."""
    return float((np.diag(r[:-1]) - r[0])[1:].mean()) if r.shape[1] > 1 else float("nan")
