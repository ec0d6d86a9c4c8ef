"""The closed form under a Gaussian prior estimated from the training tasks: what a meta-learned prior has to beat."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from metarun.model import Model
from metarun.rule import Task
from metarun.strategies.gaussian import Gaussian
from metarun.strategies.prior import estimate


class GaussianPrior(Gaussian):
    """Mean and covariance by maximum likelihood; `noise` is a factor on the estimated noise, 1 leaves it."""

    mean: Tensor
    precision: Tensor

    def __init__(
        self, *, model: Model, noise: float, unobserved: float | None = None, tune: dict[str, list[float]] | None = None
    ) -> None:
        super().__init__(model, tune, unobserved)
        self.noise = noise
        dim = model.head.weight.shape[0]
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("precision", torch.eye(dim))

    def prepare(self, tasks: Iterator[Task]) -> None:
        """Estimate the prior from the training tasks."""
        super().prepare(tasks)
        prior = estimate(self.model, tasks)
        self.mean.copy_(prior.mean)
        self.precision.copy_(torch.linalg.inv(prior.covariance.double()) * prior.noise)

    def prior(self, context: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Return the estimated mean around the start and the precision, times the factor."""
        mean: Tensor = self.model.head.start(context) + self.mean[:, None]
        return mean, self.precision * self.noise
