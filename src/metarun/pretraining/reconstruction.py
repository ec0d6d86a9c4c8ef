"""Autoencoders: the input is told from its features, from a noisy version of it, or from one with parts left out.

Hinton and Salakhutdinov, Science 2006; Vincent et al., "Extracting and composing robust features with denoising
autoencoders", ICML 2008; He et al., "Masked autoencoders are scalable vision learners", CVPR 2022.
"""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import Tensor

from metarun.pretraining.unsupervised import Context, Unsupervised, drawn, unit
from metarun.pretraining.users import WHOLE


class Reconstruction(Unsupervised):
    """Mean squared error of the input told from features of what is left of it.

    `noise`: standard deviation of what is added to every number; `masked`: share of the numbers that are set to 0, and
    where there are any the error is of these alone.
    """

    def __init__(self, hidden: int, noise: float, masked: float, **fields: Any) -> None:
        super().__init__(**fields)
        self.noise, self.masked = noise, masked
        self.decoder = self.behind(hidden, prod(self.shape))

    def loss(
        self, row: Tensor, x: Tensor, y: Tensor, context: Context, generator: torch.Generator, part: slice = WHOLE
    ) -> Tensor:
        """Return what the rows `part` add to the loss () of a batch of inputs (B, ...)."""
        x = unit(x)
        hidden = drawn(x, generator) < self.masked
        left = torch.where(hidden, 0.0, x + self.noise * drawn(x, generator, "randn"))
        told = self.decoder(self.model.backbone(left)[part])
        error = (told - x[part].flatten(1)).square()
        if self.masked:
            counted = hidden.flatten(1).float()
            error, total = error * counted[part], counted.sum().clamp(min=1)
        else:
            total = torch.tensor(float(x.numel()), device=x.device)
        found: Tensor = error.sum() / total
        return found
