"""Matching networks: a query takes the labels of the support rows that it resembles.

Vinyals et al., "Matching networks for one shot learning", NeurIPS 2016, without full-context embeddings.
"""

from __future__ import annotations

from math import log
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from metarun.model import CLOSED, Model
from metarun.rule import Batch, Rule, State
from metarun.strategies.classes import one_hot, present, seen_first


class Matching(Rule):
    """P(class) is the attention on its rows: the softmax over the support of scale * cosine; the state is the rows."""

    def __init__(self, *, model: Model, scale: float = 10.0) -> None:
        super().__init__(model)
        model.backbone.requires_grad_(True)
        self.log_scale = nn.Parameter(torch.tensor(log(scale)))

    @property
    def sees(self) -> str:
        """The backbone is the same for all rows."""
        return "features"

    def init(self, context: dict[str, Any]) -> State:
        """Return a memory without rows, and the classes that the task has."""
        weight = self.model.head.weight
        dim = weight.shape[0] - int(getattr(self.model.backbone, "constant", False))
        memory = {"keys": weight.new_zeros(0, dim), "labels": weight.new_zeros(0, weight.shape[1])}
        return {**memory, "classes": present(self.model, context)}

    def update(self, state: State, batch: Batch) -> State:
        """Remember the rows; one whose label is hidden belongs to no class."""
        keys = torch.cat([state["keys"], normalize(self.model.embedding(batch.x), dim=-1)])
        return {**state, "keys": keys, "labels": torch.cat([state["labels"], one_hot(self.model, batch)])}

    def predict(self, state: State, x: Tensor) -> Tensor:
        """Return the logarithm of the attention on each class, (B, C), up to a constant that softmax does not see."""
        cosine = normalize(self.model.embedding(x), dim=-1) @ state["keys"].mT
        labels = state["labels"]
        if labels.shape[0] == 0:
            return seen_first(cosine.new_zeros(len(x), labels.shape[1]), labels.sum(0), state["classes"])
        close = torch.where(labels.mT > 0, (self.log_scale.exp() * cosine)[:, None], CLOSED)
        return seen_first(torch.logsumexp(close, -1), labels.sum(0), state["classes"])
