"""Prototypes: a class is the mean of its embedded support, a query belongs to the nearest.

Snell, Swersky and Zemel, "Prototypical networks for few-shot learning", NeurIPS 2017.
"""

from __future__ import annotations

from math import log

import torch
from torch import Tensor, nn

from metarun.model import Model
from metarun.strategies.pooled import Pooled


class ProtoNet(Pooled):
    """Scores are minus the squared Euclidean distance, as of a Bregman divergence, times `scale`."""

    def __init__(self, *, model: Model, scale: float = 1.0, learn_scale: bool = False) -> None:
        super().__init__(model)
        self.log_scale = nn.Parameter(torch.tensor(log(scale)), requires_grad=learn_scale)

    def score(self, means: Tensor, x: Tensor) -> Tensor:
        """Return -scale * |query - mean|^2, (B, C)."""
        query = self.model.embedding(x)
        return -self.log_scale.exp() * (query[:, None] - means).square().sum(-1)
