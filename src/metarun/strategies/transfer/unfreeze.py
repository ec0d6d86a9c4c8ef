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


class Unfreeze(Gradient):
    """Gradient steps on the whole model: of L layers below the head, k move from step k * steps / (L + 1) on.

    Which ones move is a function of the step alone. `divisor`: what the rate of each layer is divided by, once more for
    each layer between it and the head.
    """

    def __init__(self, *, divisor: float, **fields: Any) -> None:
        super().__init__(**fields)
        self.divisor = divisor
        self.depth = {**depths(self.model.backbone), HEAD: 0}

    def rate(self, state: State, name: str, step: int, steps: int, weight: Tensor) -> Tensor:
        """Return the rate of a tensor, 0 while its layer is frozen."""
        layers = max(self.depth.values())
        free = self.depth[name] <= step * (layers + 1) // steps
        factor = self.divisor ** -self.depth[name] if free else 0.0
        return super().rate(state, name, step, steps, weight) * factor
