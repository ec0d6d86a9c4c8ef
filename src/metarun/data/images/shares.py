"""A share of the rows of every class, drawn so that a smaller share lies within every larger one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metarun.data.split import hashed


def places(label: NDArray[np.int64], chance: NDArray[np.generic]) -> NDArray[np.int64]:
    """Return the place (N,) of each row among those of its class, by chance (N,), the least first.

    >>> places(np.array([0, 1, 0, 1]), np.array([7, 2, 3, 9])).tolist()
    [1, 0, 0, 1]
    """
    order, count = np.lexsort((chance, label)), np.bincount(label)
    place = np.empty(len(label), np.int64)
    place[order] = np.arange(len(label)) - np.repeat(np.cumsum(count) - count, count)
    return place


def share(label: NDArray[np.int64], of: NDArray[np.bool_], part: float, seed: int) -> NDArray[np.bool_]:
    """Return which rows (N,) are in a share of the rows `of` (N,), at least one of each class; pure in the seed."""
    row = np.flatnonzero(of)
    number = np.maximum(1, np.rint(part * np.bincount(label[row]))).astype(np.int64)
    found = np.zeros(len(label), bool)
    found[row] = places(label[row], hashed(seed, row)) < number[label[row]]
    return found
