"""Two rules that metarun does not have: one built on a rule of metarun's, one from nothing."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from metarun.model import Model, readable
from metarun.rule import Batch, Rule
from metarun.strategies.gradient import Gradient


class Timid(Gradient):
    """Gradient steps at a share of the rate."""

    def __init__(self, *, model: Model, share: float, inner_lr: float, **gradient: Any) -> None:
        super().__init__(model=model, inner_lr=share * inner_lr, **gradient)


class Shift(Rule):
    """The pretrained prediction plus the damped mean residual of the support; the outer loss learns the damping."""

    sees = "features"  # type: ignore[assignment]

    def __init__(
        self, *, model: Model, damping: float, factor: float, tune: dict[str, list[float]] | None = None
    ) -> None:
        super().__init__(model)
        self.log_damping = nn.Parameter(torch.tensor(math.log(damping)))
        self.factor, self.tune = factor, tune

    def plain(self, x: Tensor, context: dict[str, Any]) -> Tensor:
        """Return what the model predicts before any label, (B, 1)."""
        out: Tensor = self.model.head(self.model.head.start(context), x)
        return out

    def init(self, context: dict[str, Any]) -> dict[str, Any]:
        """Return empty sums, and what is known about the task."""
        zero = torch.zeros_like(self.log_damping)
        return {"sum": zero, "rows": zero, "context": context}

    def update(self, state: dict[str, Any], batch: Batch) -> dict[str, Any]:
        """Add the residuals of the known rows."""
        residual = readable(batch.y, batch.known) - self.plain(batch.x, state["context"])[:, 0]
        known = batch.known
        return {**state, "sum": state["sum"] + (residual * known).sum(), "rows": state["rows"] + known.sum()}

    def predict(self, state: dict[str, Any], x: Tensor) -> Tensor:
        """Return outputs (B, 1)."""
        shift = state["sum"] / (state["rows"] + self.factor * self.log_damping.exp())
        return self.plain(x, state["context"]) + shift
