"""A linear head in closed form: the posterior mean under a Gaussian prior, with sums as the state.

On tasks it is R2D2 (Bertinetto et al., "Meta-learning with differentiable closed-form solvers", ICLR 2019), for a new
user it is fold-in (of interactions: that of implicit ALS), on a stream it is recursive least squares. Of classes it is
one regression per class on labels 1 and 0, all with the same A.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from metarun.model import Model, among
from metarun.rule import Batch, Rule, State, Task
from metarun.strategies.classes import classifies, present
from metarun.strategies.quadratic import Everything, at_start, of_rows, ranks, survey


class Gaussian(Rule):
    """weight ~ N(mean, precision^-1) in units of the noise; a method says where the prior comes from.

    `unobserved`: weight of an item without an interaction, None for the objective's; ratings have none.
    """

    gram: Tensor
    pull_of_items: Tensor

    def __init__(self, model: Model, tune: dict[str, list[float]] | None, unobserved: float | None = None) -> None:
        super().__init__(model)
        self.tune = tune
        self.unobserved: float = getattr(model.objective, "unobserved", 0.0) if unobserved is None else unobserved
        dim = model.head.weight.shape[0]
        self.register_buffer("gram", torch.zeros(dim, dim))
        self.register_buffer("pull_of_items", torch.zeros(dim, 1))

    @property
    def sees(self) -> str:
        """Only the head moves."""
        return "features"

    def prepare(self, tasks: Iterator[Task]) -> None:
        """Look over the catalogue, where items without a label count."""
        everything = survey(self.model)
        self.gram.copy_(everything.gram)
        self.pull_of_items.copy_(everything.pull)

    def prior(self, context: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Return the prior mean (D, C) and the precision times the noise variance (D, D)."""
        raise NotImplementedError

    def init(self, context: dict[str, Any]) -> State:
        """Return the sums before any row: what the prior and the catalogue are worth."""
        mean, precision = self.prior(context)
        zero = self.gram.new_zeros(())
        start = at_start(Everything(self.gram, self.pull_of_items, zero, zero), self.unobserved, mean)
        state = {"mean": mean, "A": precision + start.A, "b": start.b}
        return {**state, "classes": present(self.model, context)} if classifies(self.model) else state

    def update(self, state: State, batch: Batch) -> State:
        """Add the rows with a known label to the sums."""
        found = of_rows(self.model, batch, self.unobserved, state["mean"])
        return {**state, "A": state["A"] + found.A, "b": state["b"] + found.b}

    def weight(self, state: State) -> Tensor:
        """Return the posterior mean (D, C)."""
        weight: Tensor = state["mean"] + torch.linalg.solve(state["A"], state["b"])
        return weight

    def predict(self, state: State, x: Tensor) -> Tensor:
        """Return outputs (B, C)."""
        out: Tensor = self.model.head(self.weight(state), x)
        return among(out, state.get("classes"))

    def commit(self, state: State) -> dict[str, Tensor]:
        """Return the head's weight; nothing where pooled rows are of many users but the catalogue was counted once."""
        return {} if ranks(self.model) else {"head.weight": self.weight(state)}
