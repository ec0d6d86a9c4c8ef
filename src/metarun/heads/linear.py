"""A linear head whose start may depend on what is known about the task.

For ratings the head *is* the user: features are [item vector, 1] and the weight is [taste vector, user bias].
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from metarun.model import Spec


class Linear(nn.Module):
    """outputs = features @ weight + offset, where the offset is the feature that the backbone sets apart (or 0)."""

    def __init__(self, *, backbone: Any, spec: Spec) -> None:
        super().__init__()
        features, self.offset, self.scale = backbone.out_features, backbone.offset_last, backbone.side
        self.weight = nn.Parameter(torch.zeros(features, spec.outputs))
        self.side = nn.Parameter(torch.zeros(backbone.context, features * spec.outputs)) if backbone.context else None

    def start(self, context: dict[str, Tensor]) -> Tensor:
        """Return the weight (D, C) before any label; context["features"] (..., F) gives (..., D, C)."""
        return self.weight if self.side is None else self.weight + self.shift(context)

    def shift(self, context: dict[str, Tensor]) -> Tensor:
        """Return what is known about the task alone adds to the weight, (..., D, C); 0 without side information."""
        if self.side is None:
            return torch.zeros_like(self.weight)
        shift: Tensor = (context["features"] * self.scale) @ self.side
        return shift.reshape(*shift.shape[:-1], *self.weight.shape)

    def split(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return (design (..., B, D), offset (..., B, 1)): what the weight multiplies, and what is added as it is."""
        if self.offset:
            return features[..., :-1], features[..., -1:]
        return features, torch.zeros_like(features[..., :1])

    def forward(self, weight: Tensor, features: Tensor) -> Tensor:
        """Return outputs (..., B, C) for a weight (..., D, C)."""
        design, offset = self.split(features)
        return design @ weight + offset
