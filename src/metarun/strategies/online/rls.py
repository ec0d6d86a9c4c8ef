"""Recursive least squares on the features: the ridge solution of all rows so far, without keeping one of them.

Plackett, "Some theorems in least squares", Biometrika 1950; of classes the targets are 1 for the row's own and 0 else.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from metarun.model import Model, among
from metarun.rule import Batch, Rule, State
from metarun.strategies.classes import classifies, one_hot, present

LEAST = 1e-3
"""Probability that a class is given at least, for least squares may say less than 0."""


class RecursiveLeastSquares(Rule):
    """A linear head that minimises squared error over all rows so far, `penalty` times its square added.

    `forgetting`: what the past counts less with every chunk; 0 keeps everything.
    """

    alone: ClassVar[bool] = True

    def __init__(self, *, model: Model, penalty: float, forgetting: float) -> None:
        super().__init__(model)
        self.penalty, self.forgetting = penalty, forgetting

    @property
    def sees(self) -> str:
        """The features of a fixed backbone."""
        return "features"

    def init(self, context: dict[str, Any]) -> State:
        """Return nothing known: the inverse (D, D) and the weight (D, C), both in float64."""
        weight = self.model.head.weight
        inverse = torch.eye(len(weight), dtype=torch.float64) / self.penalty
        state = {"inverse": inverse, "weight": torch.zeros_like(weight, dtype=torch.float64)}
        return {**state, "classes": present(self.model, context)} if classifies(self.model) else state

    def update(self, state: State, batch: Batch) -> State:
        """Return the solution with the labelled rows of a chunk as well (Woodbury)."""
        known = batch.known > 0
        x = batch.x[known].double()
        if not len(x):
            return state
        targets = one_hot(self.model, batch)[known] if classifies(self.model) else batch.y[known][:, None]
        inverse = state["inverse"] / (1 - self.forgetting)
        spread = inverse @ x.mT
        gain = torch.linalg.solve(torch.eye(len(x), dtype=torch.float64) + x @ spread, spread.mT).mT
        inverse = inverse - gain @ spread.mT
        weight = state["weight"] + gain @ (targets.double() - x @ state["weight"])
        return {**state, "inverse": (inverse + inverse.mT) / 2, "weight": weight}

    def predict(self, state: State, x: Any) -> Tensor:
        """Return outputs (B, C): of classes the logarithm of what least squares says."""
        out = (x.double() @ state["weight"]).to(x.dtype)
        return among(out.clamp(min=LEAST).log(), state["classes"]) if "classes" in state else out
