"""Learning in context: a network reads the support rows and answers, no parameter moves.

Müller et al., "Transformers can do Bayesian inference", ICLR 2022; Hollmann et al., "TabPFN", ICLR 2023.
"""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import Tensor

from metarun.in_context.network import Network, classify, regress
from metarun.model import Model, readable
from metarun.rule import Batch, Rule, State


class InContext(Rule):
    """The state is the rows seen so far; what is learned is the network that reads them."""

    def __init__(
        self, *, model: Model, width: int, layers: int, heads: int, lines: int, bells: int, hidden: int
    ) -> None:
        """See `Network`."""
        super().__init__(model)
        model.backbone.requires_grad_(False)
        model.head.requires_grad_(False)
        self.network = Network(width, layers, heads, lines, bells, hidden)
        self.classifies = bool(getattr(model.objective, "classifies", False))

    def init(self, context: dict[str, Any]) -> State:
        """Return no rows, and the classes that the task has."""
        nothing = self.model.head.weight.new_zeros(0)
        start = {"x": nothing.new_zeros(0, prod(self.model.backbone.shape)), "y": nothing, "shown": nothing}
        return start | ({"classes": context["classes"]} if self.classifies else {})

    def update(self, state: State, batch: Batch) -> State:
        """Add the rows; those without a label are kept but never shown."""
        x = batch.x.flatten(1).to(state["x"].dtype)
        # Rows may have fewer features than the widest task.
        before = state["x"][:, : x.shape[1]]
        y = readable(batch.y, batch.known).to(x.dtype)
        x = torch.where(batch.known[:, None] > 0, x, 0.0)
        found = {"x": torch.cat([before, x]), "y": torch.cat([state["y"], y])}
        return {**state, **found, "shown": torch.cat([state["shown"], batch.known.to(x.dtype)])}

    def predict(self, state: State, x: Tensor) -> Tensor:
        """Return outputs (B, C): scores of the classes, or one expected label."""
        x = x.flatten(1).to(state["x"].dtype)
        if self.classifies:
            return classify(self.network, state["x"], state["y"], state["shown"], state["classes"].to(x.dtype), x)
        return regress(self.network, state["x"], state["y"], state["shown"], x)
