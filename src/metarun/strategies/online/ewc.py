"""Elastic weight consolidation: at each boundary weights are tied to where they are, by how much they mattered.

Kirkpatrick et al., PNAS 2017; one anchor and one running Fisher for all tasks, Schwarz et al., ICML 2018 (online EWC).
The Fisher is the mean of squared gradients of single rows, never the square of a batch's mean gradient.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.func import grad, vmap

from metarun.rule import Batch, Rule, State, Task
from metarun.strategies.anchor import proximal
from metarun.strategies.classes import classifies
from metarun.strategies.gradient import Gradient
from metarun.strategies.rates import HEAD


class EWC(Gradient):
    """Gradient steps, each followed by a pull to the anchor of strength rate * `strength` * Fisher.

    `fisher_rows`: the last labelled rows before a boundary, of which the Fisher is made; `decay`: what the Fisher of
    all before is multiplied by.
    """

    listens: ClassVar[bool] = True
    alone: ClassVar[bool] = True

    def __init__(self, *, strength: float, fisher_rows: int, decay: float, **fields: Any) -> None:
        super().__init__(**fields)
        self.strength, self.fisher_rows, self.decay = strength, fisher_rows, decay

    def init(self, context: dict[str, Any]) -> State:
        """Return the start, tied to nothing."""
        state = super().init(context)
        theta = state["theta"]
        fisher = {name: torch.zeros_like(value) for name, value in theta.items()}
        shape = theta[HEAD].shape[:1] if self.moves == "head" else tuple(self.model.backbone.shape)
        kind = torch.int64 if classifies(self.model) else theta[HEAD].dtype
        last = {
            "x": theta[HEAD].new_zeros(self.fisher_rows, *shape), "y": torch.zeros(self.fisher_rows, dtype=kind),
            "rows": torch.zeros((), dtype=torch.int64),
        }  # fmt: skip
        return {**state, "anchor": dict(theta), "fisher": fisher, "last": last}

    def update(self, state: State, batch: Batch) -> State:
        """Return the state after a chunk; at a boundary the weights are tied first."""
        if int(batch.event) > 0 and int(state["last"]["rows"]):
            state = self.tied(state)
        *_, after = self.walk(state, batch, self.steps)
        rate = self.strength * state["rate"]
        pulled = proximal(after["theta"], state["anchor"], rate, state["fisher"])
        last, known = state["last"], batch.known > 0
        kept = {
            n: torch.cat([last[n], rows[known]])[-self.fisher_rows :] for n, rows in (("x", batch.x), ("y", batch.y))
        }
        rows = (last["rows"] + known.sum()).clamp(max=self.fisher_rows)
        return {**after, "theta": pulled, "last": {**kept, "rows": rows}}

    def path(self, state: State, batch: Batch) -> Iterator[State]:
        """Yield the state after all steps: the pull comes behind them."""
        yield self.update(state, batch)

    def outer(self, task: Task) -> Tensor:
        """Return the query loss () after `update`."""
        return Rule.outer(self, task)

    def tied(self, state: State) -> State:
        """Return the state whose anchor is here, with the Fisher of the last rows added."""
        last = state["last"]
        first = self.fisher_rows - int(last["rows"])
        found = self.fisher(state, last["x"][first:], last["y"][first:])
        fisher = {name: self.decay * state["fisher"][name] + value for name, value in found.items()}
        nothing = {**last, "rows": torch.zeros_like(last["rows"])}
        return {**state, "anchor": dict(state["theta"]), "fisher": fisher, "last": nothing}

    def fisher(self, state: State, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Return the mean over rows of squared gradients of their losses, by name."""

        def loss(theta: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
            out = self.scores(state, theta[HEAD], self.features(state, theta, x[None], x.new_ones(1)))
            return self.model.loss(out, y[None], x.new_ones(1))

        total = {name: torch.zeros_like(value) for name, value in state["theta"].items()}
        for rows, labels in zip(
            torch.split(x, 64), torch.split(y, 64), strict=True
        ):  # a gradient per row costs a model each
            each = vmap(grad(loss), in_dims=(None, 0, 0))(state["theta"], rows, labels)
            total = {name: value + each[name].square().sum(0) for name, value in total.items()}
        return {name: value / len(y) for name, value in total.items()}
