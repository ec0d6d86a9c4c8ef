"""Conditional neural processes: the support as the mean of encoded rows, a decoder that reads it beside the query.

Garnelo et al., "Conditional neural processes", ICML 2018.
"""

from __future__ import annotations

import torch
from torch import Tensor

from metarun.model import Model
from metarun.rule import Batch, State
from metarun.strategies.pooled import Pooled, layers, pairs


class NeuralProcess(Pooled):
    """Encoder and decoder of the given layers; `width` is that of what a task is summed up in.

    Regression: mean of encode(x, y), then decode(x, mean); of the paper's Gaussian only the mean, as the objective
    asks for. Classification: a mean of encode(x) for each class, then decode(x, mean of the class, mean of all rows)
    with the same weights for every class, so that renaming classes renames scores.
    """

    def __init__(self, *, model: Model, encoder: list[int], width: int, decoder: list[int]) -> None:
        super().__init__(model)
        self.width = width
        self.encoder = layers([self.dim + int(not self.classifies), *encoder, width])
        self.decoder = layers([self.dim + width * (1 + int(self.classifies)), *decoder, 1])

    def encode(self, batch: Batch) -> Tensor:
        """Return what is averaged, (B, W)."""
        out: Tensor = self.encoder(self.model.embedding(batch.x) if self.classifies else self.labelled(batch))
        return out

    def means(self, state: State) -> Tensor:
        """Return the mean of each class beside that of all rows, (C, 2 W); for regression that of all rows, (1, W)."""
        means = super().means(state)
        if not self.classifies:
            return means
        every = state["sum"].sum(0) / state["rows"].sum().clamp(min=1.0)
        return torch.cat([means, every.expand_as(means)], -1)

    def score(self, means: Tensor, x: Tensor) -> Tensor:
        """Return outputs (B, C)."""
        out: Tensor = self.decoder(pairs(self.model.embedding(x), means))
        return out[..., 0]
