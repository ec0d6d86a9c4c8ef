"""Three predictors without a model: a constant, the support mean, item bias plus support bias."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from metarun.model import Model, readable
from metarun.rule import Batch, Rule, State, Task


class Bias(Rule):
    """label = mean + item bias + support bias, the parts chosen by `items` and `support`.

    `damping`: rows of prior belief behind the support bias; `item_damping`: the same behind each item's bias.
    """

    everyone = True

    mean: Tensor
    bias: Tensor

    def __init__(
        self,
        *,
        model: Model,
        items: bool,
        support: bool,
        damping: float = 0.0,
        item_damping: float = 0.0,
        tune: dict[str, list[float]] | None = None,
    ) -> None:
        super().__init__(model)
        self.items, self.support, self.tune = items, support, tune
        self.damping, self.item_damping = damping, item_damping
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("bias", torch.zeros(1))

    def prepare(self, tasks: Iterator[Task]) -> None:
        """Estimate the mean and the damped item biases from the training rows, given each task's own bias."""
        parts = [(t.support.x["item"], readable(t.support.y, t.support.known), t.support.known) for t in tasks]
        total = torch.stack([known.sum() for _, _, known in parts]).sum()
        self.mean = torch.stack([(y * known).sum() for _, y, known in parts]).sum() / total
        size = 1 + max(int(item.max()) for item, _, _ in parts)
        bias = self.mean.new_zeros(size)
        count = torch.stack([torch.bincount(item[known > 0], minlength=size) for item, _, known in parts]).sum(0)
        for _ in range(5 if self.items else 0):
            total_residual = torch.zeros_like(bias)
            for item, y, known in parts:
                residual = (y - self.mean - bias[item]) * known
                own = residual.sum(-1, keepdim=True) / (known.sum(-1, keepdim=True) + self.item_damping)
                rest = (y - self.mean - own)[known > 0]
                total_residual += torch.bincount(item[known > 0], weights=rest, minlength=size).to(bias)
            bias = total_residual / (count + self.item_damping)
        self.bias = bias

    def offset(self, x: dict[str, Tensor]) -> Tensor:
        """Return mean + item bias (B,); an item that no training row has counts as average."""
        item = x["item"]
        seen = item < self.bias.shape[0]
        return self.mean + torch.where(seen, self.bias[item.clamp(max=self.bias.shape[0] - 1)], 0.0)

    def init(self, context: dict[str, Any]) -> State:
        """Return empty sums."""
        return {"sum": torch.zeros_like(self.mean), "rows": torch.zeros_like(self.mean)}

    def update(self, state: State, batch: Batch) -> State:
        """Add the residuals of the known rows."""
        residual = torch.where(batch.known > 0, batch.y - self.offset(batch.x), 0.0)
        return {"sum": state["sum"] + residual.sum(), "rows": state["rows"] + batch.known.sum()}

    def predict(self, state: State, x: dict[str, Tensor]) -> Tensor:
        """Return outputs (B, 1)."""
        rows = state["rows"] + self.damping
        own = torch.where(rows > 0, state["sum"] / rows.clamp(min=1e-9), 0.0) if self.support else 0.0
        return (self.offset(x) + own)[:, None]
