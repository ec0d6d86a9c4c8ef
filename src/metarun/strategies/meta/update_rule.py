"""The learned update rule theta: a matrix on the gradient, theta <- theta - rate * Theta @ gradient.

Park and Oliva, "Meta-Curvature", NeurIPS 2019, for one linear head. A full matrix over-fits at small supports, hence
the diagonal and low-rank forms and the pull towards its start.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from metarun.model import Model
from metarun.rule import Task
from metarun.strategies.gradient import Gradient
from metarun.strategies.prior import estimate
from metarun.strategies.rates import HEAD


class UpdateRule(Gradient):
    """Theta = theta_0 + learned change; `theta_init` is zeros, identity, or the prior covariance over the noise."""

    theta_0: Tensor

    def __init__(
        self,
        *,
        model: Model,
        theta_init: str,
        form: str,
        rank: int,
        pull: float,
        steps: int,
        inner_lr: float,
        first_order: bool,
        learns: str,
        shrink: float,
        tune: dict[str, list[float]] | None = None,
    ) -> None:
        super().__init__(
            model=model, moves="head", steps=steps, inner_lr=inner_lr, first_order=first_order, learns=learns,
            shrink=shrink, tune=tune,
        )  # fmt: skip
        self.theta_init, self.form, self.pull = theta_init, form, pull
        dim = model.head.weight.shape[0]
        self.register_buffer("theta_0", torch.eye(dim) * (theta_init != "zeros"))
        forms: dict[str, list[tuple[int, ...]]]
        forms = {"full": [(dim, dim)], "diagonal": [(dim,)], "low_rank": [(dim, rank), (rank, dim)]}
        self.change = nn.ParameterList([nn.Parameter(torch.zeros(shape)) for shape in forms[form]])
        if form == "low_rank":  # one factor away from zero, or no gradient would ever leave the start
            nn.init.orthogonal_(self.change[0])

    def prepare(self, tasks: Iterator[Task]) -> None:
        """Estimate the start of theta; with the prior, the first step on few rows is the posterior mean's."""
        if self.theta_init == "prior":
            prior = estimate(self.model, tasks)
            self.theta_0.copy_(prior.covariance / prior.noise)
            with torch.no_grad():
                self.model.head.weight += prior.mean[:, None]

    def theta(self) -> Tensor:
        """Return Theta (D, D)."""
        return self.theta_0 + self.learned()

    def learned(self) -> Tensor:
        """Return the learned change of Theta (D, D)."""
        first: Tensor = self.change[0]
        if self.form == "full":
            return first
        return torch.diag(first) if self.form == "diagonal" else first @ self.change[1]

    def direction(self, gradient: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return Theta @ gradient."""
        return {HEAD: self.theta() @ gradient[HEAD]}

    def regulariser(self) -> Tensor:
        """Return pull * mean squared change of Theta."""
        return self.pull * self.learned().square().mean()
