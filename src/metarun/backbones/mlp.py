"""Fully connected layers."""

from __future__ import annotations

from itertools import pairwise
from math import prod

from torch import Tensor, nn
from torch.nn.functional import relu

from metarun.backbones.encoder import Encoder
from metarun.backbones.normalisation import Normalisation
from metarun.model import Spec


class MLP(Encoder):
    """`hidden` widths, each layer linear, normalised, ReLU; two of 40 are those of Finn et al., ICML 2017."""

    def __init__(self, hidden: list[int], norm: str, *, spec: Spec) -> None:
        super().__init__(norm, spec)
        widths = [prod(self.shape), *hidden]
        self.dim = widths[-1]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.norms = nn.ModuleList(Normalisation(norm, width) for width in hidden)

    def embed(self, x: Tensor, counted: Tensor) -> Tensor:
        """Return embeddings (T * B, D)."""
        x = x.flatten(1)
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = relu(norm(layer(x), counted))
        return x
