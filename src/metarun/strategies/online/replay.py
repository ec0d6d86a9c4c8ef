"""Experience replay: every chunk is learned with as many rows of a memory, and what was answered then.

Chaudhry et al., "On tiny episodic memories in continual learning", 2019 (ER); Buzzega et al., "Dark experience for
general continual learning", NeurIPS 2020 (DER++).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.func import grad

from metarun.model import among
from metarun.rule import Batch, Rule, State, Task
from metarun.strategies import memory
from metarun.strategies.classes import classifies
from metarun.strategies.gradient import Gradient
from metarun.strategies.rates import HEAD


class Replay(Gradient):
    """A gradient step on the loss of the chunk, plus `again` times that of rows from the memory.

    `answers`: weight of the squared distance of the outputs to those that the row had when it was kept, on rows of
    another draw. `size` rows are kept, `replayed` drawn at each step; `balanced`: every class alike.
    """

    alone: ClassVar[bool] = True

    def __init__(
        self, *, size: int, replayed: int, again: float, answers: float, balanced: bool, **fields: Any
    ) -> None:
        super().__init__(**fields)
        self.size, self.replayed, self.again, self.answers = size, replayed, again, answers
        self.balanced = balanced

    def init(self, context: dict[str, Any]) -> State:
        """Return the start with an empty memory."""
        features, outputs = self.model.head.weight.shape
        shape = (features,) if self.moves == "head" else tuple(self.model.backbone.shape)
        kind = self.model.head.weight.dtype
        label = torch.int64 if classifies(self.model) else kind
        leaves: dict[str, tuple[tuple[int, ...], torch.dtype]] = {"x": (shape, kind), "y": ((), label)}
        if self.answers:
            leaves["out"] = ((outputs,), kind)
        seed = context.get("seed", torch.zeros((), dtype=torch.int64))  # of the run
        return {**super().init(context), "memory": memory.empty(leaves, self.size, outputs), "seed": seed}

    def update(self, state: State, batch: Batch) -> State:
        """Return the state after the steps on a chunk and on what is replayed; then keep the chunk's labelled rows."""
        kept = state["memory"]
        draws = memory.generator(state["seed"], kept["seen"].sum())
        drawn = [memory.draw(kept, self.replayed, draws) for _ in range(2)]
        known = batch.known > 0
        rows = {"x": batch.x[known].detach(), "y": batch.y[known]}
        if self.answers:
            rows["out"] = self.answered({}, state, rows["x"]).detach()
        *_, after = self.walk({**state, "drawn": drawn}, batch, self.steps)
        label = rows["y"] if classifies(self.model) else torch.zeros(len(rows["y"]), dtype=torch.int64)
        kept = memory.keep(kept, rows, label, self.balanced and classifies(self.model), draws)
        return {**{name: value for name, value in after.items() if name != "drawn"}, "memory": kept}

    def path(self, state: State, batch: Batch) -> Iterator[State]:
        """Yield the state after all steps, for what is replayed is drawn once for them."""
        yield self.update(state, batch)

    def outer(self, task: Task) -> Tensor:
        """Return the query loss () after `update`."""
        return Rule.outer(self, task)

    def gradient(self, state: State, batch: Batch) -> dict[str, Tensor]:
        """Return the gradient of the chunk's loss and of what is replayed."""
        moving = {name: value for name, value in state["theta"].items() if name != HEAD or self.moves != "rows"}
        found: dict[str, Tensor] = grad(self.loss)(moving, state, batch)
        return found

    def loss(self, moving: dict[str, Tensor], state: State, batch: Batch) -> Tensor:
        """Return the loss () under some moving parameters."""
        out = among(self.answered(moving, state, batch.x, batch.known), state.get("classes"))
        total: Tensor = self.model.loss(out, batch.y, batch.known)
        once, twice = state["drawn"]
        if once is not None and self.again:
            again = self.answered(moving, state, once["x"])
            total = total + self.again * self.model.loss(again, once["y"], again.new_ones(len(again)))
        if twice is not None and self.answers:
            total = total + self.answers * (self.answered(moving, state, twice["x"]) - twice["out"]).square().mean()
        return total

    def answered(self, moving: dict[str, Tensor], state: State, x: Tensor, counted: Tensor | None = None) -> Tensor:
        """Return outputs (B, C) under some moving parameters, of all classes: a kept row may be of any task."""
        theta = {**state["theta"], **moving}
        counted = x.new_ones(len(x)) if counted is None else counted
        out: Tensor = self.model.head(theta[HEAD], self.features(state, theta, x, counted))
        return out
