"""Train anew on the last rows, again and again: what a practitioner schedules.

Widmer and Kubat, "Learning in the presence of concept drift and hidden contexts", Machine Learning 23, 1996.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor

from metarun.rule import Batch, Rule, State, Task
from metarun.strategies.classes import classifies
from metarun.strategies.gradient import Gradient


class Window(Gradient):
    """After every `every` labelled rows `steps` gradient steps from the start on the last `size` rows; else nothing.

    A chunk is kept whole before it is looked whether it is time.
    """

    alone: ClassVar[bool] = True

    def __init__(self, *, size: int, every: int, **fields: Any) -> None:
        super().__init__(**fields)
        self.size, self.every = size, every

    def init(self, context: dict[str, Any]) -> State:
        """Return the start with an empty window."""
        weight = self.model.head.weight
        shape = (weight.shape[0],) if self.moves == "head" else tuple(self.model.backbone.shape)
        label = torch.int64 if classifies(self.model) else weight.dtype
        state = super().init(context)
        return {
            **state, "began": state["theta"], "x": torch.zeros(self.size, *shape, dtype=weight.dtype),
            "y": torch.zeros(self.size, dtype=label), "rows": torch.zeros((), dtype=torch.int64),
        }  # fmt: skip

    def update(self, state: State, batch: Batch) -> State:
        """Return the state after a chunk."""
        known = batch.known > 0
        x, y, before = batch.x[known].detach()[-self.size :], batch.y[known][-self.size :], int(state["rows"])
        after = before + int(known.sum())
        place = torch.arange(after - len(y), after) % self.size
        state = {
            **state, "x": state["x"].index_put((place,), x.to(state["x"])),
            "y": state["y"].index_put((place,), y.to(state["y"])), "rows": torch.tensor(after),
        }  # fmt: skip
        return self.trained(state) if after // self.every > before // self.every else state

    def trained(self, state: State) -> State:
        """Return the state after training from the start on the window."""
        there = (torch.arange(self.size) < state["rows"]).to(state["x"].dtype)
        batch = Batch(state["x"], state["y"], there, there, torch.zeros((), dtype=torch.int64))
        return deque(self.walk({**state, "theta": state["began"]}, batch, self.steps), maxlen=1).pop()

    def path(self, state: State, batch: Batch) -> Iterator[State]:
        """Yield the state after a chunk."""
        yield self.update(state, batch)

    def follow(self, state: State, ask: Any, batch: Batch, chunk: int) -> tuple[Tensor, State]:
        """Return (outputs (B, C), state) of rows of a stream, chunk by chunk."""
        return Rule.follow(self, state, ask, batch, chunk)

    def outer(self, task: Task) -> Tensor:
        """Return the query loss () after `update`."""
        return Rule.outer(self, task)
