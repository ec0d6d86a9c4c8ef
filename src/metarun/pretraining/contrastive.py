"""Contrastive pretraining: two changed versions of an input are told from those of all others (NT-Xent).

Chen et al., "A simple framework for contrastive learning of visual representations", ICML 2020.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from metarun.data.distortion import affine
from metarun.pretraining.unsupervised import Context, Unsupervised, drawn, unit
from metarun.pretraining.users import WHOLE


class Contrastive(Unsupervised):
    """NT-Xent on a projection of the features. Images are turned, sheared, stretched and moved by up to `affine`.

    Of every input, a vector of features too, `masked` of the numbers are set to 0 and `noise` is added.
    """

    def __init__(
        self, hidden: int, projected: int, temperature: float, affine: float, noise: float, masked: float, **fields: Any
    ) -> None:
        super().__init__(**fields)
        self.temperature, self.affine, self.noise, self.masked = temperature, affine, noise, masked
        self.projection = self.behind(hidden, projected)

    def changed(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Return inputs between 0 and 1, each changed in a way of its own."""
        if self.affine and x.dtype == torch.uint8 and x.ndim == 4:
            key = torch.randint(2**62, (len(x),), generator=generator, device=x.device)
            x = affine(x, key, self.affine)
        x = unit(x)
        kept = drawn(x, generator) >= self.masked
        return torch.where(kept, x + self.noise * drawn(x, generator, "randn"), 0.0)

    def loss(
        self, row: Tensor, x: Tensor, y: Tensor, context: Context, generator: torch.Generator, part: slice = WHOLE
    ) -> Tensor:
        """Return what the rows `part` add to the loss () of a batch of inputs (B, ...)."""
        both = torch.cat([self.changed(x, generator), self.changed(x, generator)])
        terms = nt_xent(self.projection(self.model.backbone(both)), self.temperature)
        return (terms[: len(x)][part].sum() + terms[len(x) :][part].sum()) / len(terms)


def nt_xent(z: Tensor, temperature: float) -> Tensor:
    """Return the loss (2 B,) of projections (2 B, P): row i's other version is row i + B, all the rest are others."""
    z, half = normalize(z, dim=1), len(z) // 2
    alike = z @ z.mT / temperature
    alike = alike.masked_fill(torch.eye(len(z), dtype=torch.bool, device=z.device), -torch.inf)
    other = torch.arange(len(z), device=z.device).roll(half)
    return alike.logsumexp(1) - alike.gather(1, other[:, None])[:, 0]
