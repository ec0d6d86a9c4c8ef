"""Matrix factorisation seen as an item encoder: a user is a task, and their taste vector is the head."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from metarun.model import Spec


class MatrixFactorisation(nn.Module):
    """Item id to [item vector (K), 1, global mean + item bias]; without bias to the item vector alone.

    Koren, Bell and Volinsky, "Matrix factorization techniques for recommender systems", Computer 2009.
    """

    context: int = 0
    """Width of the side information that the head's start reads, and the factor it is read with."""

    side: float = 1.0

    content: bool = False
    """Whether anything is known about an item that nobody rated."""

    mean: Tensor

    def __init__(self, dim: int, bias: bool, *, spec: Spec) -> None:
        super().__init__()
        self.bias = bias
        self.vectors = nn.Embedding(spec.sizes["item"], dim)
        nn.init.normal_(self.vectors.weight, std=0.1)
        self.item_bias = nn.Parameter(torch.zeros(spec.sizes["item"])) if bias else None
        self.register_buffer("mean", torch.zeros(()))

    @property
    def offset_last(self) -> bool:
        """Whether the last feature is an offset that no weight multiplies."""
        return self.bias

    @property
    def out_features(self) -> int:
        """D, the width of what a head's weight multiplies."""
        return self.vectors.embedding_dim + int(self.bias)

    @property
    def items(self) -> int:
        """M, the size of the catalogue."""
        return self.vectors.num_embeddings

    @property
    def tables(self) -> dict[str, list[str]]:
        """Names of the tensors that a column of ids looks up by row; a task that moves them gathers its rows first."""
        return {"item": ["vectors.weight", "item_bias"] if self.bias else ["vectors.weight"]}

    def vector(self, item: Tensor, kept: Tensor | None = None) -> Tensor:
        """Return item vectors (..., K); kept: factor (...) on what is the item's own, 0 as if nobody had rated it."""
        vectors: Tensor = self.vectors(item)
        return vectors if kept is None else vectors * kept[..., None]

    def offset(self, item: Tensor, kept: Tensor | None = None) -> Tensor:
        """Return mean + item bias (...); kept: factor (...) on what is the item's own."""
        assert self.item_bias is not None
        own = self.item_bias[item]
        return self.mean + (own if kept is None else own * kept)

    def forward(self, x: dict[str, Tensor]) -> Tensor:
        """Return features (..., K + 2), or (..., K) without bias, of x["item"] (...)."""
        vector = self.vector(x["item"])
        if not self.bias:
            return vector
        offset = self.offset(x["item"])[..., None]
        return torch.cat([vector, torch.ones_like(offset), offset], -1)
