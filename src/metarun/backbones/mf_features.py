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

    content = True

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

    def vector(self, item: Tensor, kept: Tensor | None = None) -> Tensor:
        """Return item vectors (..., K); kept: factor (...) on what is the item's own, 0 as if nobody had rated it."""
        # The product is taken of the rows asked for or of the whole table, whichever are fewer.
        if item.numel() < len(self.table):
            return super().vector(item, kept) + embedding(item, self.table) @ self.to_vector
        known = self.table @ self.to_vector
        if kept is not None:
            return super().vector(item, kept) + embedding(item, known)
        return embedding(item, self.vectors.weight + known)

    def offset(self, item: Tensor, kept: Tensor | None = None) -> Tensor:
        """Return mean + item bias (...); kept: factor (...) on what is the item's own."""
        assert self.to_bias is not None
        if item.numel() < len(self.table):
            return super().offset(item, kept) + embedding(item, self.table) @ self.to_bias
        return super().offset(item, kept) + (self.table @ self.to_bias)[item]
