"""Random numbers of generated tasks: each task has its own stream, so a task is the same in any batch."""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


class Draws:
    """Numbers of a batch of tasks (tasks, ...), each task's from Philox keyed by (seed and split, index)."""

    def __init__(self, seed: int, indices: NDArray[np.int64]) -> None:
        """seed: 64 bits; indices (tasks,)."""
        self.streams = [np.random.Generator(np.random.Philox(key=(seed, int(i)))) for i in indices]

    def normal(self, *shape: int) -> Array:
        """Return standard normal numbers (tasks, *shape)."""
        size = prod(shape)
        found = np.empty((len(self.streams), size), np.float32)
        for row, stream in zip(found, self.streams, strict=True):
            stream.standard_normal(size, np.float32, out=row)
        return found.reshape(len(self.streams), *shape)

    def uniform(self, *shape: int) -> Array:
        """Return numbers (tasks, *shape) in [0, 1)."""
        size = prod(shape)
        found = np.empty((len(self.streams), size), np.float32)
        for row, stream in zip(found, self.streams, strict=True):
            stream.random(size, np.float32, out=row)
        return found.reshape(len(self.streams), *shape)

    def between(self, low: float, high: float, *shape: int) -> Array:
        """Return numbers (tasks, *shape) of which the logarithm is uniform between those of low and high."""
        found: Array = np.exp(np.log(low) + np.log(high / low) * self.uniform(*shape)).astype(np.float32)
        return found

    def chance(self, probability: float, *shape: int) -> Array:
        """Return 1 with a probability and 0 otherwise (tasks, *shape)."""
        return (self.uniform(*shape) < probability).astype(np.float32)


def standard(values: Array, axis: int = 1) -> Array:
    """Return values of mean 0 and deviation 1 along an axis; 0 where they are constant."""
    centred = values - values.mean(axis, keepdims=True)
    found: Array = centred / np.maximum(centred.std(axis, keepdims=True), 1e-6)
    return found
