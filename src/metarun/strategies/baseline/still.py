"""Two predictors that a stream is always read beside: the last label again, and the start without any update."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from metarun.model import Model, among, readable
from metarun.rule import Batch, Rule, State, Task
from metarun.strategies.classes import classifies, present


class NoChange(Rule):
    """Predicts the mean label of the last batch, so at one row per batch the last label; the training mean at first."""

    everyone = True

    mean: Tensor

    def __init__(self, *, model: Model) -> None:
        super().__init__(model)
        self.register_buffer("mean", torch.zeros(()))

    def prepare(self, tasks: Iterator[Task]) -> None:
        """Estimate the mean of the training labels."""
        sums = [
            ((readable(t.support.y, t.support.known) * t.support.known).sum(), t.support.known.sum()) for t in tasks
        ]
        self.mean.copy_(torch.stack([total for total, _ in sums]).sum() / torch.stack([rows for _, rows in sums]).sum())

    def init(self, context: dict[str, Any]) -> State:
        """Return the training mean."""
        return {"last": self.mean.clone()}

    def update(self, state: State, batch: Batch) -> State:
        """Remember the batch's mean label; a batch without one changes nothing."""
        rows = batch.known.sum()
        mean = (readable(batch.y, batch.known) * batch.known).sum() / rows.clamp(min=1.0)
        return {"last": torch.where(rows > 0, mean, state["last"])}

    def predict(self, state: State, x: Any) -> Tensor:
        """Return outputs (B, 1)."""
        last: Tensor = state["last"]
        return last.expand(tree_leaves(x)[0].shape[0])[:, None]


class Frozen(Rule):
    """Predicts with the model's start and never updates it."""

    def __init__(self, *, model: Model) -> None:
        super().__init__(model)

    @property
    def sees(self) -> str:
        """The features of a fixed model."""
        return "features"

    def init(self, context: dict[str, Any]) -> State:
        """Return the start."""
        state = {"weight": self.model.head.start(context)}
        return {**state, "classes": present(self.model, context)} if classifies(self.model) else state

    def update(self, state: State, batch: Batch) -> State:
        """Return the state as it is."""
        return state

    def follow(self, state: State, ask: Any, batch: Batch, chunk: int) -> tuple[Tensor, State]:
        """Return (outputs (B, C), the state): nothing changes between chunks."""
        return self.predict(state, ask), state

    def predict(self, state: State, x: Any) -> Tensor:
        """Return outputs (B, C)."""
        out: Tensor = self.model.head(state["weight"], x)
        return among(out, state.get("classes"))
