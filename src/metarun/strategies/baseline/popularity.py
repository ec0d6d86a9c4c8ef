"""Popularity: everybody is shown what most training users have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from metarun.model import Model
from metarun.rule import Batch, Rule, State, Task


class Popularity(Rule):
    """An item's score is the sum of the weights of its training interactions, the same for every user."""

    everyone = True

    count: Tensor

    def __init__(self, *, model: Model) -> None:
        super().__init__(model)
        self.register_buffer("count", torch.zeros(model.backbone.items))

    def prepare(self, tasks: Iterator[Task]) -> None:
        """Count the training interactions of each item."""
        self.count.zero_()
        for task in tasks:
            item, weight = shown(task.support)
            self.count.index_add_(0, item.flatten(), weight.flatten().to(self.count))

    def init(self, context: dict[str, Any]) -> State:
        """Return the scores of all items (M,)."""
        return {"score": self.count.clone()}

    def update(self, state: State, batch: Batch) -> State:
        """Return the state as it is."""
        return state

    def predict(self, state: State, x: dict[str, Tensor]) -> Tensor:
        """Return outputs (B, 1), or (B, 1 + N, 1) with the items that each row is ranked against."""
        return looked_up(state["score"], x)


def shown(batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the items (..., B) of a batch and their weights, item 0 with weight 0 where none is to be seen."""
    seen = batch.known > 0
    return torch.where(seen, batch.x["item"], 0), torch.where(seen, batch.y, 0.0)


def looked_up(score: Tensor, x: dict[str, Tensor]) -> Tensor:
    """Return the scores (M,) of the items asked for: (B, 1), or (B, 1 + N, 1) where x has "others" (B, N)."""
    if "others" not in x:
        return score[x["item"]][..., None]
    return score[torch.cat([x["item"][..., None], x["others"]], -1)][..., None]
