"""Pretraining with labels: the backbone stays, and the classifier where labels mean the same in all tasks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from metarun.model import Model, Spec
from metarun.pretraining.users import WHOLE


class Supervised(nn.Module):
    """Cross-entropy over all training classes; Chen et al., "A closer look at few-shot classification", ICLR 2019."""

    def __init__(self, epochs: int, batch: int, lr: float, l2: float, *, model: Model, spec: Spec) -> None:
        """l2: weight of half the squared length of all parameters."""
        super().__init__()
        self.model, self.epochs, self.rows, self.lr, self.l2 = model, epochs, batch, lr, l2
        width = model.backbone.out_features
        self.classifier = nn.Parameter(torch.randn(width, spec.classes or spec.outputs) / width**0.5)
        self.shared = spec.shared

    def begin(self, labels: Tensor) -> None:
        """Nothing has to be known of the labels beforehand."""

    def loss(
        self,
        row: Tensor,
        x: Tensor,
        y: Tensor,
        context: dict[str, Tensor],
        generator: torch.Generator,
        part: slice = WHOLE,
    ) -> Tensor:
        """Return what the rows `part` add to the loss () of a batch of inputs (B, ...) and labels (B,)."""
        out = self.model.backbone(x)[part] @ self.classifier
        terms: Tensor = self.model.objective.rows(out, y[part]).sum() / len(y)
        if not self.l2:
            return terms
        size = sum(p.square().sum() for p in self.parameters() if p.requires_grad)
        return terms + 0.5 * self.l2 * size * (len(y[part]) / len(y))

    def finish(self, users: Tensor) -> None:
        """Put the head where the classifier is if labels mean the same in new tasks; else leave it at its start."""
        if self.shared:
            with torch.no_grad():
                self.model.head.weight.copy_(self.classifier)

    def known(self, context: dict[str, Tensor]) -> Tensor:
        """Return the one classifier (1, D, classes)."""
        return self.classifier[None]
