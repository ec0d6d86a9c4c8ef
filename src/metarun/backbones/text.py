"""What the backbones of texts have in common: token numbers to an embedding that padding never changes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from metarun.backbones.encoder import Encoder
from metarun.data.tokens import PADDING
from metarun.errors import MetarunError
from metarun.model import Spec


class TextEncoder(Encoder):
    """Token numbers (B, L) to features [embedding (D), 1]; a subclass writes `encoded` and sets `dim`.

    `hears`: whether spectrograms (B, 1, bands, L) are read too, each moment as a token.
    """

    hears = False

    def __init__(self, width: int, spec: Spec) -> None:
        """width: E, of a token's vector."""
        super().__init__("none", spec)
        self.heard = self.hears and not spec.vocabulary and len(spec.shape) == 3 and spec.shape[0] == 1
        if self.heard:
            self.of_frame = nn.Linear(spec.shape[1], width)
        elif spec.vocabulary:
            self.vectors = nn.Parameter(torch.randn(spec.vocabulary, width) / width**0.5)
        else:
            raise MetarunError(
                f"this backbone reads texts, but the dataset gives arrays of {tuple(spec.shape)}: choose backbone=mlp"
            )

    def encoded(self, vectors: Tensor, there: Tensor, tokens: Tensor) -> Tensor:
        """Return embeddings (B, D) of token vectors (B, L, E); there (B, L): 1 where a token is, 0 at padding."""
        raise NotImplementedError

    def forward(self, x: Tensor, counted: Tensor | None = None) -> Tensor:
        """Return features (B, D + 1) of token numbers (B, L); what other rows are beside them never matters."""
        if self.heard:
            level = (x.to(self.reads) / 255 if x.dtype == torch.uint8 else x).reshape(len(x), *self.shape)
            frames = level[:, 0].mT
            there = (frames.amax(-1) > 0).to(self.reads)
            vectors = self.of_frame(frames) * there[..., None]
        else:
            there = (x != PADDING).to(self.reads)
            vectors = embedding(x, self.vectors) * there[..., None]
        found = self.encoded(vectors, there, x)
        return torch.cat([found, found.new_ones(len(found), 1)], -1)


def mean(values: Tensor, there: Tensor) -> Tensor:
    """Return the mean (B, E) of values (B, L, E) where there (B, L) is above 0, weighed by it; 0 of nothing."""
    total = (values * there[..., None]).sum(-2)
    # The square root of a float's smallest step: a text without tokens has the mean 0, not nan.
    return total / there.sum(-1, keepdim=True).clamp(min=1e-6)


def most(values: Tensor, there: Tensor) -> Tensor:
    """Return the maximum (B, E) of values (B, L, E) over the places where there (B, L) is 1; 0 of nothing."""
    found = torch.where(there[..., None] > 0, values, -torch.inf).amax(-2)
    return torch.where(there.sum(-1, keepdim=True) > 0, found, 0.0)
