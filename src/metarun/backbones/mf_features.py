"""Matrix factorisation with side information, so that unseen users and items start from what is known about them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from metarun.backbones.mf import MatrixFactorisation
from metarun.model import Spec


class FeatureFactorisation(MatrixFactorisation):
    """Adds a linear map of item features to the item's vector and bias, and of user features to the head's start.

    `side` scales all features. Few users share many features, so a map learned at the rate of the vectors fits the
    training users and fails the new ones; small features slow it down.
    """

    table: Tensor

    def __init__(self, dim: int, bias: bool, side: float, *, spec: Spec) -> None:
        super().__init__(dim, bias, spec=spec)
        self.context, self.side = spec.context, side
        table = spec.tables["item"]
        self.register_buffer("table", table * side)
        self.to_vector = nn.Parameter(torch.zeros(table.shape[1], dim))
        self.to_bias = nn.Parameter(torch.zeros(table.shape[1])) if bias else None

    @property
    def tables(self) -> dict[str, list[str]]:
        """Names of the tensors that a column of ids looks up by row."""
        return {"item": [*super().tables["item"], "table"]}

    def vector(self, item: Tensor) -> Tensor:
        """Return item vectors (..., K)."""
        # The product is taken of the rows asked for or of the whole table, whichever are fewer.
        if item.numel() < len(self.table):
            return super().vector(item) + embedding(item, self.table) @ self.to_vector
        return embedding(item, self.vectors.weight + self.table @ self.to_vector)

    def offset(self, item: Tensor) -> Tensor:
        """Return mean + item bias (...)."""
        assert self.item_bias is not None
        assert self.to_bias is not None
        if item.numel() < len(self.table):
            return super().offset(item) + embedding(item, self.table) @ self.to_bias
        return self.mean + (self.item_bias + self.table @ self.to_bias)[item]
