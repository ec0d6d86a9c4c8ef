"""Cosine of the query with the mean of each class, times a learned scale.

Gidaris and Komodakis, "Dynamic few-shot visual learning without forgetting", CVPR 2018; Chen et al., "Meta-Baseline",
ICCV 2021.
"""

from __future__ import annotations

from math import log

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from metarun.model import Model
from metarun.strategies.pooled import Pooled


class Cosine(Pooled):
    """A cosine lies between -1 and 1, so without the scale no softmax of it could ever be sure."""

    def __init__(self, *, model: Model, scale: float = 10.0) -> None:
        super().__init__(model)
        self.log_scale = nn.Parameter(torch.tensor(log(scale)))

    def score(self, means: Tensor, x: Tensor) -> Tensor:
        """Return scale * cosine, (B, C)."""
        query = normalize(self.model.embedding(x), dim=-1)
        return self.log_scale.exp() * query @ normalize(means, dim=-1).mT
