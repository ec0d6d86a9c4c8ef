"""Streaming linear discriminant analysis: running class means and one shared covariance of the features.

Hayes and Kanan, "Lifelong machine learning with deep streaming linear discriminant analysis", CVPR Workshops 2020.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from metarun.errors import MetarunError
from metarun.model import Model, among
from metarun.rule import Batch, Rule, State
from metarun.strategies.classes import classifies, one_hot, present


class StreamingLDA(Rule):
    """Scores by discriminants of Gaussian classes that share a covariance, shrunk to a multiple of the identity.

    `shrink`: the identity's share; `refresh`: labelled rows after which the covariance is inverted again.
    """

    alone: ClassVar[bool] = True

    def __init__(self, *, model: Model, shrink: float, refresh: int) -> None:
        """Raises MetarunError where labels are numbers."""
        super().__init__(model)
        if not classifies(model):
            raise MetarunError("online/slda is about classes: use objective=cross_entropy, or strategy=online/rls")
        self.shrink, self.refresh = shrink, refresh

    @property
    def sees(self) -> str:
        """The features of a fixed backbone."""
        return "features"

    def init(self, context: dict[str, Any]) -> State:
        """Return nothing counted, in float64: rows and means of classes, the scatter within them, and the head."""
        weight = self.model.head.weight.detach()
        nothing = torch.zeros_like(weight.mT, dtype=torch.float64)
        return {
            "rows": nothing[:, 0].clone(), "mean": nothing, "scatter": nothing.new_zeros(len(weight), len(weight)),
            "since": torch.zeros((), dtype=torch.int64), "weight": nothing.mT.clone(), "bias": nothing[:, 0].clone(),
            "classes": present(self.model, context),
        }  # fmt: skip

    def update(self, state: State, batch: Batch) -> State:
        """Return the state with the labelled rows of a chunk; merging is exact whatever the chunk."""
        own, x = one_hot(self.model, batch).double(), batch.x.double()
        count = own.sum(0)
        if not count.sum():
            return state
        mean = own.mT @ x / count.clamp(min=1)[:, None]
        centred = (x - own @ mean) * own.sum(1, keepdim=True)
        rows = state["rows"] + count
        gap = (mean - state["mean"]) * (count > 0)[:, None]
        between = (state["rows"] * count / rows.clamp(min=1))[:, None]
        scatter = state["scatter"] + centred.mT @ centred + gap.mT @ (between * gap)
        moved = state["mean"] + gap * (count / rows.clamp(min=1))[:, None]
        after = {**state, "rows": rows, "mean": moved, "scatter": scatter, "since": state["since"] + int(count.sum())}
        due = int(after["since"]) >= self.refresh or int(rows.sum()) <= self.refresh
        return self.inverted(after) if due else after

    def inverted(self, state: State) -> State:
        """Return the state with the head of what has been counted."""
        covariance = state["scatter"] / state["rows"].sum()
        size = len(covariance)
        even = torch.eye(size, dtype=torch.float64) * (covariance.trace() / size + 1e-6)
        shrunk = (1 - self.shrink) * covariance + self.shrink * even
        weight = torch.linalg.solve(shrunk, state["mean"].mT)
        bias = -0.5 * (state["mean"].mT * weight).sum(0)
        return {**state, "weight": weight, "bias": bias, "since": torch.zeros((), dtype=torch.int64)}

    def predict(self, state: State, x: Any) -> Tensor:
        """Return scores (B, C); a class that has not been met is as likely as the least likely one."""
        out = x.double() @ state["weight"] + state["bias"]
        met = state["rows"] > 0
        least = torch.where(met, out, torch.inf).amin(-1, keepdim=True)
        out = torch.where(met, out, torch.where(met.any(), least, 0.0))
        return among(out.to(x.dtype), state["classes"])
