"""Ridge fold-in: the closed form with one penalty for the taste vector and one for the bias."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from metarun.model import Model
from metarun.strategies.gaussian import Gaussian


class Ridge(Gaussian):
    """Shrinks the head towards the model's start, or towards zero, with penalties in rows."""

    def __init__(
        self,
        *,
        model: Model,
        penalty: float,
        bias_penalty: float,
        towards: str,
        unobserved: float | None = None,
        tune: dict[str, list[float]] | None = None,
    ) -> None:
        super().__init__(model, tune, unobserved)
        self.penalty, self.bias_penalty, self.towards = penalty, bias_penalty, towards

    def prior(self, context: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Return the start (or zero) and the diagonal penalty; the last feature is the bias if the head has one."""
        start: Tensor = self.model.head.start(context)
        penalty = torch.full_like(start[:, 0], self.penalty)
        if self.model.head.offset or getattr(self.model.backbone, "constant", False):
            penalty = torch.cat([penalty[:-1], torch.full_like(penalty[-1:], self.bias_penalty)])
        return (start if self.towards == "start" else torch.zeros_like(start)), torch.diag(penalty)
