"""Baseline++: a cosine head fine-tuned on the support, the backbone frozen.

Chen et al., "A closer look at few-shot classification", ICLR 2019.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from metarun.model import Model, among, readable
from metarun.rule import Batch, State
from metarun.strategies.gradient import Gradient
from metarun.strategies.rates import HEAD


class BaselinePlusPlus(Gradient):
    """scores = scale * cos(embedding, weight of the class); a class starts at the mean direction of its first rows.

    The paper starts from random weights; the mean is what those come to in many steps, and draws no numbers.
    """

    linear: ClassVar[bool] = False

    def __init__(
        self,
        *,
        model: Model,
        steps: int,
        inner_lr: float,
        scale: float,
        tune: dict[str, list[float]] | None = None,
    ) -> None:
        super().__init__(model=model, moves="head", steps=steps, inner_lr=inner_lr, tune=tune)
        self.scale = scale

    def start(self, context: dict[str, Any]) -> dict[str, Tensor]:
        """Return no direction (D, C) for any class."""
        weight: Tensor = self.model.head.weight
        return {HEAD: torch.zeros_like(self.model.embedding(weight.mT).mT)}

    def init(self, context: dict[str, Any]) -> State:
        """Return the start and which classes (C,) were met: none."""
        state = super().init(context)
        return {**state, "met": torch.zeros_like(state["theta"][HEAD][0])}

    def scores(self, state: State, weight: Tensor, features: Tensor) -> Tensor:
        """Return scaled cosines (B, C), 0 where a class has no direction yet."""
        cosine = unit(self.model.embedding(features), -1) @ unit(weight, -2)
        return among(self.scale * cosine, state.get("classes"))

    def walk(self, state: State, batch: Batch, steps: int) -> Iterator[State]:
        """Yield the state after each step; before the first, classes not met so far are given their direction."""
        weight, met = state["theta"][HEAD], state["met"]
        own = one_hot(readable(batch.y, batch.known).long(), len(met)).to(weight) * batch.known[:, None]
        mean = unit(self.model.embedding(batch.x), -1).mT @ own / own.sum(0).clamp(min=1.0)
        began = {HEAD: torch.where(met > 0, weight, mean)}
        met = torch.maximum(met, (own.sum(0) > 0).to(met))
        yield from super().walk({**state, "theta": began, "met": met}, batch, steps)

    def gradient(self, state: State, batch: Batch) -> dict[str, Tensor]:
        """Return the gradient of the mean loss; none for a class without a direction, where a cosine has no slope."""
        return {HEAD: super().gradient(state, batch)[HEAD] * state["met"]}

    def commit(self, state: State) -> dict[str, Tensor]:
        """Return nothing: a linear head has no cosine."""
        return {}


def unit(vectors: Tensor, dim: int) -> Tensor:
    """Return vectors of length 1 along a dimension; what is 0 stays 0."""
    return vectors * torch.rsqrt(vectors.square().sum(dim, keepdim=True) + 1e-12)
