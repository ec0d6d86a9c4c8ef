"""A bag of words and of pairs of neighbours, each with a vector and a weight of its own.

Joulin et al., "Bag of tricks for efficient text classification", EACL 2017 (hashed pairs); weights begin at inverse
document frequencies, as in Bao et al., "Few-shot text classification with distributional signatures", ICLR 2020.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from metarun.backbones.text import TextEncoder, mean
from metarun.model import Spec

PRIME = 1_000_003


class Bag(TextEncoder):
    """The mean of the vectors of tokens, and of hashed pairs of neighbours where `pairs` is above 0."""

    def __init__(self, width: int, pairs: int, *, spec: Spec) -> None:
        """width: E = D; pairs: rows of the table that pairs of neighbours are hashed into, 0 for single tokens."""
        super().__init__(width, spec)
        self.dim = width
        rare = spec.tables.get("token", torch.ones(spec.vocabulary, 1))
        self.weights = nn.Parameter(rare.log())
        self.pair_vectors = nn.Parameter(torch.zeros(pairs, width)) if pairs else None

    def encoded(self, vectors: Tensor, there: Tensor, tokens: Tensor) -> Tensor:
        """Return the weighted mean (B, D); a weight is the exponential of what is learned, at the start the rarity."""
        weight = embedding(tokens, self.weights)[..., 0].exp() * there
        if self.pair_vectors is None:
            return mean(vectors, weight)
        number = (tokens[..., :-1] * PRIME + tokens[..., 1:]) % len(self.pair_vectors)
        both = there[..., :-1] * there[..., 1:]
        # A pair counts as much as its words do together, so that pairs of words without a weight have none.
        joined = embedding(number, self.pair_vectors) * both[..., None]
        share = weight[..., :-1] * weight[..., 1:] * both
        return mean(vectors, weight) + mean(joined, share)
