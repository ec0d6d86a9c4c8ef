"""Fold-in of implicit ALS: a new user's half of another sweep, with a penalty and an unobserved weight of its own.

Hu, Koren and Volinsky, "Collaborative filtering for implicit feedback datasets", ICDM 2008. An interaction weighs 1 in
all here and 1 + u in `metarun.pretraining.ials`: penalty / (1 + u) and u / (1 + u) give its vectors times 1 + u.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from metarun.model import Model
from metarun.strategies.gaussian import Gaussian


class FoldIn(Gaussian):
    """The closed form towards zero: weight ~ N(0, I / penalty), items without an interaction count `unobserved`."""

    def __init__(
        self, *, model: Model, penalty: float, unobserved: float, tune: dict[str, list[float]] | None = None
    ) -> None:
        super().__init__(model, tune, unobserved)
        self.penalty = penalty

    def prior(self, context: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Return zero and the penalty on the diagonal."""
        zero = torch.zeros_like(self.model.head.start(context))
        return zero, torch.diag(torch.full_like(zero[:, 0], self.penalty))
