"""A task as one vector per class, the mean of its encoded rows: what prototypes, neural processes, hypernetworks share.

The state is sums and counts, so rows may arrive in any order, one at a time, and from many places.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from metarun.model import Model, readable
from metarun.rule import Batch, Rule, State
from metarun.strategies.classes import classifies, one_hot, present, seen_first


class Pooled(Rule):
    """Encodes rows, takes their mean by class (of all rows for regression), and scores new rows against the means.

    A method writes `score`, and `encode` with `width` where a row is more than its embedding.
    """

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        model.backbone.requires_grad_(True)
        self.classifies = classifies(model)
        self.dim = model.head.weight.shape[0] - int(getattr(model.backbone, "constant", False))
        self.width = self.dim

    @property
    def sees(self) -> str:
        """The backbone is the same for all rows."""
        return "features"

    def encode(self, batch: Batch) -> Tensor:
        """Return what is averaged, (B, W)."""
        return self.model.embedding(batch.x)

    def score(self, means: Tensor, x: Tensor) -> Tensor:
        """Return outputs (B, C) for features (B, D) and the means (C, W), or (1, W) for regression."""
        raise NotImplementedError

    def init(self, context: dict[str, Any]) -> State:
        """Return empty sums, and the classes that the task has."""
        weight = self.model.head.weight
        kinds = weight.shape[1] if self.classifies else 1
        state = {"sum": weight.new_zeros(kinds, self.width), "rows": weight.new_zeros(kinds)}
        return {**state, "classes": present(self.model, context)} if self.classifies else state

    def update(self, state: State, batch: Batch) -> State:
        """Add the rows with a known label to the sums of their class."""
        share = one_hot(self.model, batch) if self.classifies else batch.known[:, None]
        return {**state, "sum": state["sum"] + share.mT @ self.encode(batch), "rows": state["rows"] + share.sum(0)}

    def means(self, state: State) -> Tensor:
        """Return the mean of each class, 0 where it has no rows."""
        return state["sum"] / state["rows"].clamp(min=1.0)[:, None]  # type: ignore[no-any-return]

    def predict(self, state: State, x: Tensor) -> Tensor:
        """Return outputs (B, C)."""
        out = self.score(self.means(state), x)
        return seen_first(out, state["rows"], state["classes"]) if self.classifies else out

    def labelled(self, batch: Batch) -> Tensor:
        """Return the embedding of each row with its label behind it, (B, D + 1), where the label is a number."""
        y = readable(batch.y, batch.known)[:, None].to(batch.x)
        return torch.cat([self.model.embedding(batch.x), y], -1)


def layers(widths: list[int]) -> nn.Sequential:
    """Return linear layers of the given widths with ReLU between them."""
    parts: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        parts += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*parts[:-1])


def pairs(query: Tensor, means: Tensor) -> Tensor:
    """Return each query (B, D) beside each mean (C, W), as (B, C, D + W)."""
    shape = (len(query), len(means))
    return torch.cat([query[:, None].expand(*shape, -1), means.expand(*shape, -1)], -1)
