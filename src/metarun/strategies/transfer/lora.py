"""Low-rank adaptation: the backbone stays, and a product of two thin matrices is added to each of its weights.

Hu et al., "LoRA: Low-rank adaptation of large language models", ICLR 2022.
"""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

from metarun.errors import MetarunError
from metarun.rule import State
from metarun.strategies.gradient import Gradient
from metarun.strategies.rates import HEAD

OUT, IN = " out", " in"
"""Behind the name of a weight (O, ...): its factors (O, R) and (R, I), I what is left of the weight flattened."""


class LoRA(Gradient):
    """Gradient steps on the head and on factors of `rank` R, whose product times `alpha` / R is added to a weight.

    The inner factors are drawn once, by the size of the weight alone; the outer ones begin at 0, so that the model
    begins where pretraining left it. Biases and normalisation stay.
    """

    def __init__(self, *, rank: int, alpha: float, **fields: Any) -> None:
        """Raises MetarunError where the backbone has no weight to adapt, or validation is to choose the rank."""
        super().__init__(**{"learns": "head", **fields}, moves="all")
        if "rank" in (self.tune or {}):
            raise MetarunError(
                f"strategy.transfer.tune.rank={(self.tune or {})['rank']}: the rank is the shape of what is learned, "
                "which validation cannot change; leave it out and sweep it, metarun -m strategy.transfer.rank=2,4,8"
            )
        self.rank, self.alpha = rank, alpha
        self.weights = {name: p.shape for name, p in self.model.backbone.named_parameters() if p.ndim > 1}
        if not self.weights:
            raise MetarunError(
                "transfer/lora adapts weights of a backbone, and this one has none: use backbone=mlp or conv4"
            )
        draws = torch.Generator().manual_seed(0)
        for place, shape in enumerate(self.weights.values()):
            width = prod(shape[1:])
            inner = torch.randn(rank, width, generator=draws) / width**0.5
            self.register_buffer(f"in{place}", inner, persistent=False)
            self.register_buffer(f"out{place}", torch.zeros(shape[0], rank), persistent=False)

    def of_backbone(self) -> dict[str, Tensor]:
        """Return the factors by the name of their weight."""
        if not hasattr(self, "weights"):  # the base class asks before there is any
            return {}
        found = {}
        for place, name in enumerate(self.weights):
            found[name + OUT], found[name + IN] = getattr(self, f"out{place}"), getattr(self, f"in{place}")
        return found

    def rate(self, state: State, name: str, step: int, steps: int, weight: Tensor) -> Tensor:
        """Return the one rate of all factors and of the head."""
        found: Tensor = state["rate"] * weight
        return found

    @property
    def scale(self) -> float:
        """Return how often the product counts."""
        return self.alpha / self.rank

    def merged(self, theta: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the weights with what has been added to them."""
        own = dict(self.model.backbone.named_parameters())
        return {
            name: own[name] + self.scale * (theta[name + OUT] @ theta[name + IN]).reshape(shape)
            for name, shape in self.weights.items()
        }

    def features(self, state: State, theta: dict[str, Tensor], x: Any, counted: Tensor | None = None) -> Tensor:
        """Return features (B, D) of the adapted backbone."""
        given = (x, counted) if self.model.pooled else (x,)
        found: Tensor = functional_call(self.model.backbone, self.merged(theta), given)
        return found

    def commit(self, state: State) -> dict[str, Tensor]:
        """Return the head and the merged weights under their names in the model."""
        merged = self.merged(state["theta"])
        return {"head.weight": state["theta"][HEAD]} | {f"backbone.{name}": value for name, value in merged.items()}
