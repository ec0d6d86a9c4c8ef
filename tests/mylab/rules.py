"""A rule that metarun does not have."""

from __future__ import annotations

from typing import Any

from metarun.model import Model
from metarun.strategies.gradient import Gradient


class Timid(Gradient):
    """Gradient steps at a share of the rate."""

    def __init__(self, *, model: Model, share: float, inner_lr: float, **gradient: Any) -> None:
        super().__init__(model=model, inner_lr=share * inner_lr, **gradient)
