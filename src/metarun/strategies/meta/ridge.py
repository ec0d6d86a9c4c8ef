"""The closed form with a meta-learned prior: mean, covariance and noise are trained through the solution.

Bertinetto et al., "Meta-learning with differentiable closed-form solvers", ICLR 2019; Harrison, Sharma and Pavone,
"Meta-learning priors for efficient online Bayesian regression" (ALPaCA), WAFR 2018.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import log
from typing import Any

import torch
from torch import Tensor, nn

from metarun.model import Model
from metarun.rule import State, Task
from metarun.strategies.classes import classifies
from metarun.strategies.gaussian import Gaussian
from metarun.strategies.prior import estimate


class MetaRidge(Gaussian):
    """The prior starts at its maximum-likelihood estimate (or isotropic) and is then trained on the query loss.

    Where the objective's best answer is the median, a shift of every prediction is learned too: the posterior mean of a
    skewed label lies beside its median, however many labels a task has.

    `precision`: "full" learns the matrix, "scalar" a factor on it, which with an isotropic start is R2D2. For classes
    the prior mean is 0, and a learned `scale` makes logits of regressions on 1 and 0.
    """

    root_0: Tensor

    def __init__(
        self,
        *,
        model: Model,
        prior_init: str,
        learns: str,
        pull: float,
        noise: float,
        unobserved: float | None = None,
        precision: str = "full",
        scale: float = 10.0,
        tune: dict[str, list[float]] | None = None,
    ) -> None:
        super().__init__(model, tune, unobserved)
        self.prior_init, self.noise, self.pull = prior_init, noise, pull
        model.backbone.requires_grad_(learns == "all")
        dim = model.head.weight.shape[0]
        self.mean = nn.Parameter(torch.zeros(dim))
        # precision = root @ root.T * exp(log_penalty), in units of the noise
        self.root = nn.Parameter(torch.eye(dim), requires_grad=precision == "full")
        self.log_penalty = nn.Parameter(torch.zeros(())) if precision == "scalar" else None
        self.log_scale = nn.Parameter(torch.tensor(log(scale))) if classifies(model) else None
        self.mean.requires_grad_(self.log_scale is None)
        self.shift = nn.Parameter(torch.zeros(())) if getattr(model.objective, "median", False) else None
        self.register_buffer("root_0", torch.eye(dim))

    def prepare(self, tasks: Iterator[Task]) -> None:
        """Start from the estimated prior."""
        super().prepare(tasks)
        if self.prior_init == "isotropic":
            return
        prior = estimate(self.model, tasks)
        precision = torch.linalg.inv(prior.covariance.double()) * prior.noise
        with torch.no_grad():
            self.mean.copy_(prior.mean)
            self.root.copy_(torch.linalg.cholesky(precision))
            self.root_0.copy_(self.root)

    def prior(self, context: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Return the learned mean around the start and the learned precision."""
        start = self.model.head.start(context)
        # What all classes share cancels in a softmax, and classes are told apart by their rows alone.
        mean: Tensor = start + self.mean[:, None] if self.log_scale is None else torch.zeros_like(start)
        precision = self.root @ self.root.mT * self.noise
        return mean, precision if self.log_penalty is None else precision * self.log_penalty.exp()

    def weight(self, state: State) -> Tensor:
        """Return the posterior mean (D, C), of classes times the learned scale: a softmax of 0 and 1 is never sure."""
        weight = super().weight(state)
        return weight if self.log_scale is None else weight * self.log_scale.exp()

    def predict(self, state: State, x: Tensor) -> Tensor:
        """Return outputs (B, C)."""
        out = super().predict(state, x)
        return out if self.shift is None else out + self.shift

    def regulariser(self) -> Tensor:
        """Return pull * mean squared change of the precision's root; few training tasks over-fit it otherwise."""
        return self.pull * (self.root - self.root_0).square().mean()
