"""Matrix factorisation with side information, so that unseen users and items start from what is known about them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from metarun.backbones.mf import MatrixFactorisation
from metarun.model import Spec


class FeatureFactorisation(MatrixFactorisation):
    """Adds a linear map of item features to the item's vector and bias, and of user features to the head's start."""

    table: Tensor

    def __init__(self, dim: int, bias: bool, *, spec: Spec) -> None:
        super().__init__(dim, bias, spec=spec)
        self.context = spec.context
        table = spec.tables["item"]
        self.register_buffer("table", table)
        self.to_vector = nn.Parameter(torch.zeros(table.shape[1], dim))
        self.to_bias = nn.Parameter(torch.zeros(table.shape[1])) if bias else None

    @property
    def tables(self) -> dict[str, list[str]]:
        """Names of the tensors that a column of ids looks up by row."""
        return {"item": [*super().tables["item"], "table"]}

    def vector(self, item: Tensor) -> Tensor:
        """Return item vectors (..., K)."""
        return super().vector(item) + self.table[item] @ self.to_vector

    def offset(self, item: Tensor) -> Tensor:
        """Return mean + item bias (...)."""
        assert self.to_bias is not None
        return super().offset(item) + self.table[item] @ self.to_bias
