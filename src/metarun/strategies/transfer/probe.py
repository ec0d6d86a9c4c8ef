"""A linear probe: gradient steps on the head alone, which begins at zero or where pretraining left it.

Alain and Bengio, "Understanding intermediate layers using linear classifier probes", 2016.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from metarun.strategies.gradient import Gradient
from metarun.strategies.rates import HEAD


class Probe(Gradient):
    """Says what frozen features are worth; `begins`: "fresh", the head at zero, or "pretrained", at the model's."""

    def __init__(self, *, begins: str = "pretrained", **fields: Any) -> None:
        """The head is all that moves, and all that an outer loss would learn."""
        super().__init__(**{"learns": "head", **fields}, moves="head")
        self.begins = begins

    def start(self, context: dict[str, Any]) -> dict[str, Tensor]:
        """Return the head (D, C) before any label."""
        theta = super().start(context)
        return theta if self.begins == "pretrained" else {HEAD: torch.zeros_like(theta[HEAD])}
