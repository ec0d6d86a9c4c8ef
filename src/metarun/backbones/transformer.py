"""Attention over tokens, by products and softmax alone, so that it can be differentiated twice and vmapped.

Vaswani et al., "Attention is all you need", NIPS 2017; normalised first as in Xiong et al., ICML 2020.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from metarun.backbones.text import TextEncoder, mean
from metarun.errors import MetarunError
from metarun.model import Spec

CLOSED = -1e30
"""The score of a place that may not be looked at: finite, so that a text without tokens gives no nan."""


class Transformer(TextEncoder):
    """`layers` blocks of attention with `heads` heads over learned places; the embedding is the mean over tokens."""

    def __init__(self, width: int, layers: int, heads: int, causal: bool, *, spec: Spec) -> None:
        """width: E = D; causal: a token sees those before it alone, as in a language model."""
        super().__init__(width, spec)
        if width % heads:
            raise MetarunError(f"backbone.heads={heads} must divide backbone.width={width}")
        self.dim, self.causal = width, causal
        self.place = nn.Parameter(0.02 * torch.randn(*self.shape, width))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.last = nn.LayerNorm(width)

    def places(self, vectors: Tensor, there: Tensor) -> Tensor:
        """Return what is known at each place (B, L, D)."""
        length = vectors.shape[-2]
        seen = there[..., None, :].expand(*there.shape, length)
        seen = seen.tril() if self.causal else seen
        x = vectors + self.place[:length]
        for block in self.blocks:
            x = block(x, seen)
        found: Tensor = self.last(x)
        return found

    def encoded(self, vectors: Tensor, there: Tensor, tokens: Tensor) -> Tensor:
        """Return the mean over tokens (B, D)."""
        return mean(self.places(vectors, there), there)


class Block(nn.Module):
    """Attention, then two layers at each place, each added to what it reads."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.asks, self.joins = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.widens, self.narrows = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        """Return (B, L, D) for x (B, L, D); seen (B, L, L): 1 where a place looks at another."""
        query, key, value = (part.reshape(*part.shape[:-1], self.heads, -1).transpose(-2, -3) for part in self.parts(x))
        score = query @ key.mT / query.shape[-1] ** 0.5
        share = torch.where(seen[..., None, :, :] > 0, score, CLOSED).softmax(-1)
        x = x + self.joins((share @ value).transpose(-2, -3).flatten(-2))
        found: Tensor = x + self.narrows(gelu(self.widens(self.second(x))))
        return found

    def parts(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return queries, keys and values (B, L, D)."""
        return tuple(self.asks(self.first(x)).chunk(3, -1))
