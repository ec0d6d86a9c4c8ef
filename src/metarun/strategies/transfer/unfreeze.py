"""Gradual unfreezing: the head moves first, then one layer after another, the lower ones ever more slowly.

Howard and Ruder, "Universal language model fine-tuning for text classification", ACL 2018.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from metarun.rule import State
from metarun.strategies.depth import depths
from metarun.strategies.gradient import Gradient
from metarun.strategies.rates import HEAD


def free(depth: int, step: int, steps: int, layers: int) -> bool:
    """Return whether a layer so far from the head moves at a step: of L layers, the k-th from k * steps / (L + 1) on.

    >>> [[depth for depth in range(4) if free(depth, step, 8, 3)] for step in range(0, 8, 2)]
    [[0], [0, 1], [0, 1, 2], [0, 1, 2, 3]]
    """
    return depth <= step * (layers + 1) // steps


class Unfreeze(Gradient):
    """Gradient steps on the whole model, of which layer after layer is freed, from the head on: see `free`.

    `divisor`: what the rate of each layer is divided by, once more for each layer between it and the head.
    """

    def __init__(self, *, divisor: float, **fields: Any) -> None:
        super().__init__(**fields)
        self.divisor = divisor
        self.depth = {**depths(self.model.backbone), HEAD: 0}

    def rate(self, state: State, name: str, step: int, steps: int, weight: Tensor) -> Tensor:
        """Return the rate of a tensor, 0 while its layer is frozen."""
        depth, layers = self.depth[name], max(self.depth.values())
        factor = self.divisor**-depth if free(depth, step, steps, layers) else 0.0
        return super().rate(state, name, step, steps, weight) * factor
