"""A model is a backbone (inputs to features), a head (features to outputs) and an objective (outputs to loss)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Spec:
    """What a dataset tells the model before training."""

    sizes: dict[str, int] = field(default_factory=dict)  # entries of each id column: {"item": 3706}
    tables: dict[str, Tensor] = field(default_factory=dict)  # side information per id: {"item": (items, features)}
    context: int = 0  # width of context["features"], what is known about a task before any label
    outputs: int = 1  # C: of regression 1, of classification the most classes that a task may have
    task: str = "user"  # what a task is, and the head is the vector of: "user" or "item"
    shape: tuple[int, ...] = ()  # of one input that is a plain array: (features,), or (channels, height, width)
    classes: int = 0  # of the source data, for pretraining with labels that mean the same in all rows
    descriptions: int = 0  # width of context["descriptions"], what is known about a class before any label
    vocabulary: int = 0  # token numbers there are, where shape is (tokens of a text,); 0 where inputs are no texts
    shared: bool = False  # labels mean the same in all tasks: the head starts where pretraining left the classifier
    inputs: dict[str, tuple[int, ...]] = field(default_factory=dict)  # shape of each, where a row holds several inputs
    groups: dict[str, tuple[int, int]] = field(default_factory=dict)  # columns of each group of features: first, behind


class Model(nn.Module):
    """Backbone, head and objective; forward goes from inputs to outputs at the head's start."""

    def __init__(self, backbone: Any, head: Any, objective: Any, spec: Spec | None = None) -> None:
        super().__init__()
        spec = spec or Spec()
        self.backbone, self.head, self.objective, self.task = backbone, head, objective, spec.task
        self.descriptions, self.groups = spec.descriptions, spec.groups

    def features(self, x: Any) -> Tensor:
        """Return the features (B, D) of inputs; (B, 1 + N, D) where x["others"] (B, N) is ranked against x["item"]."""
        features: Tensor = self.backbone(x)
        if not isinstance(x, dict) or "others" not in x:
            return features
        others: Tensor = self.backbone({"item": x["others"]})
        return torch.cat([features[..., None, :], others], -2)

    @property
    def pooled(self) -> bool:
        """Whether the features of a row depend on the rows beside it, through statistics of the task."""
        return bool(getattr(self.backbone, "pooled", False))

    def embedding(self, features: Tensor) -> Tensor:
        """Return features (..., D) without the constant and the offset that stand behind the row's own."""
        design: Tensor = self.head.split(features)[0]
        return design[..., :-1] if getattr(self.backbone, "constant", False) else design

    def catalogue(self) -> dict[str, Tensor]:
        """Return the inputs {"item": (M,)} that stand for every item there is."""
        return {"item": torch.arange(self.backbone.items, device=self.head.weight.device)}

    def loss(self, out: Tensor, y: Tensor, known: Tensor) -> Tensor:
        """Return the mean loss () over the rows whose label is known; 0 if none is."""
        return masked_mean(self.objective.rows(out, readable(y, known)), known)


CLOSED = -1e30
"""The score of a class that a task does not have: finite, so that nothing behind it turns into nan."""


def among(out: Tensor, classes: Tensor | None) -> Tensor:
    """Return scores (..., C) with CLOSED where classes (C,) is 0; as they are where there are no classes (None)."""
    return out if classes is None else torch.where(classes > 0, out, CLOSED)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean () of values (B,) where mask (B,) is 1, or 0 where nothing is."""
    return (values * mask).sum() / mask.sum().clamp(min=1.0)


def readable(y: Tensor, known: Tensor) -> Tensor:
    """Return labels (B, ...) with 0 where known (B,) is 0.

    Hiding a label before the loss, not the loss behind it, keeps even a nan out of the value and of its gradient.
    """
    shown = (known > 0).reshape(known.shape + (1,) * (y.ndim - known.ndim))
    return torch.where(shown, y, torch.zeros_like(y))
