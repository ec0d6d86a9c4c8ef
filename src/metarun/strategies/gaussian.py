"""A linear head in closed form: the posterior mean under a Gaussian prior, with sums as the state.

On tasks it is R2D2 (Bertinetto et al., "Meta-learning with differentiable closed-form solvers", ICLR 2019), for a new
user it is fold-in, on a stream it is recursive least squares.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from metarun.model import Model
from metarun.rule import Batch, Rule, State


class Gaussian(Rule):
    """weight ~ N(mean, precision^-1) in units of the noise; a method says where the prior comes from."""

    def __init__(self, model: Model, tune: dict[str, list[float]] | None) -> None:
        super().__init__(model)
        self.tune = tune

    @property
    def sees(self) -> str:
        """Only the head moves."""
        return "features"

    def prior(self, context: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Return the prior mean (D, C) and the precision times the noise variance (D, D)."""
        raise NotImplementedError

    def init(self, context: dict[str, Any]) -> State:
        """Return the sums before any row: what the prior is worth."""
        mean, precision = self.prior(context)
        return {"mean": mean, "A": precision, "b": torch.zeros_like(mean)}

    def update(self, state: State, batch: Batch) -> State:
        """Add the rows with a known label to the sums."""
        design, offset = self.model.head.split(batch.x)
        residual = batch.y[..., None] - offset - design @ state["mean"]
        weighted = (design * batch.known[..., None]).mT
        residual = torch.where(batch.known[..., None] > 0, residual, 0.0)
        return {**state, "A": state["A"] + weighted @ design, "b": state["b"] + weighted @ residual}

    def weight(self, state: State) -> Tensor:
        """Return the posterior mean (D, C)."""
        weight: Tensor = state["mean"] + torch.linalg.solve(state["A"], state["b"])
        return weight

    def predict(self, state: State, x: Tensor) -> Tensor:
        """Return outputs (B, C)."""
        out: Tensor = self.model.head(self.weight(state), x)
        return out

    def commit(self, state: State) -> dict[str, Tensor]:
        """Return the head's weight."""
        return {"head.weight": self.weight(state)}
