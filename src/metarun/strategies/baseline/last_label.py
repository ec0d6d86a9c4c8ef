"""What a stream of labels is always read beside: the last label again, and the commonest so far."""

from __future__ import annotations

from math import log
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from metarun.model import Model
from metarun.rule import Batch, Rule, State
from metarun.strategies.classes import classifies, one_hot


class Counting(Rule):
    """Predicts by sums of labels: of classes a share of `sure` for the leading one, of numbers their mean.

    `memory`: what a label counts less with every later chunk, 0 for the last chunk alone, 1 for all alike.
    """

    sure: ClassVar[float] = 0.9

    def __init__(self, *, model: Model, memory: float) -> None:
        super().__init__(model)
        self.memory = memory

    def init(self, context: dict[str, Any]) -> State:
        """Return nothing counted."""
        weight = self.model.head.weight
        return {"sum": torch.zeros_like(weight[0]), "rows": weight.new_zeros(())}

    def counts(self, batch: Batch) -> Tensor:
        """Return what each row adds to the sums (B, C), 0 where its label is hidden."""
        if classifies(self.model):
            return one_hot(self.model, batch)
        return torch.where(batch.known > 0, batch.y, 0.0)[:, None].to(self.model.head.weight)

    def update(self, state: State, batch: Batch) -> State:
        """Count the labels of a chunk; one without labels changes nothing."""
        new = self.counts(batch).sum(0)
        rows = batch.known.sum().to(state["rows"])
        kept = torch.where(rows > 0, self.memory, 1.0)
        return {"sum": kept * state["sum"] + new, "rows": kept * state["rows"] + rows}

    def follow(self, state: State, ask: Any, batch: Batch, chunk: int) -> tuple[Tensor, State]:
        """Return (outputs (B, C), the state afterwards), all chunks at once where the sums need no loop."""
        if self.memory not in (0, 1):
            return super().follow(state, ask, batch, chunk)
        total = len(batch.y)
        place = torch.arange(total) // chunk
        each = torch.cat([self.counts(batch), batch.known.to(state["rows"])[:, None]], 1)
        new = each.new_zeros(-(-total // chunk), each.shape[1]).index_add(0, place, each)
        start = torch.cat([state["sum"], state["rows"][None]])[None]
        if self.memory:
            after = (start + new.double().cumsum(0)).to(new)
        else:
            number = torch.arange(1, len(new) + 1)
            after = torch.cat([start, new])[torch.where(new[:, -1] > 0, number, 0).cummax(0).values]
        before = torch.cat([start, after[:-1]])
        out = self.outputs(before[:, :-1], before[:, -1])[place]
        return out, {"sum": after[-1, :-1].clone(), "rows": after[-1, -1].clone()}

    def predict(self, state: State, x: Any) -> Tensor:
        """Return outputs (B, C), the same for every row."""
        return self.outputs(state["sum"], state["rows"]).expand(tree_leaves(x)[0].shape[0], -1)

    def outputs(self, total: Tensor, rows: Tensor) -> Tensor:
        """Return outputs (..., C) of sums (..., C) over rows (...)."""
        if not classifies(self.model):
            return total / rows.clamp(min=1.0)[..., None]
        first = (total == total.amax(-1, keepdim=True)) & (total > 0)
        number = first.sum(-1, keepdim=True)
        other = (1 - self.sure) / max(total.shape[-1] - 1, 1)
        share = torch.where(first, self.sure / number.clamp(min=1), other)
        return torch.where(number > 0, share.log(), -log(total.shape[-1]))
