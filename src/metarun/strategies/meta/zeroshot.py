"""Zero-shot: what is known about a class before any row writes its column of the head.

Frome et al., "DeViSE", NeurIPS 2013; Akata et al., "Label-embedding for attribute-based classification" (ALE), CVPR
2013.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from metarun.errors import MetarunError
from metarun.model import Model, among
from metarun.rule import Batch, Rule, State
from metarun.strategies.classes import present
from metarun.strategies.pooled import layers


class ZeroShot(Rule):
    """Score = features . map(description): bilinear without `hidden` layers; no support row changes anything."""

    def __init__(self, *, model: Model, hidden: list[int]) -> None:
        super().__init__(model)
        if not model.descriptions:
            raise MetarunError(
                "strategy=meta/zeroshot reads descriptions of classes, which this dataset does not have: an image "
                "folder has them in descriptions.csv"
            )
        model.backbone.requires_grad_(True)
        self.map = layers([model.descriptions, *hidden, model.head.weight.shape[0]])

    @property
    def sees(self) -> str:
        """The backbone is the same for all rows."""
        return "features"

    def init(self, context: dict[str, Any]) -> State:
        """Return the head that the descriptions (C, A) call for."""
        return {"weight": self.map(context["descriptions"]).mT, "classes": present(self.model, context)}

    def update(self, state: State, batch: Batch) -> State:
        """Return the state as it is."""
        return state

    def predict(self, state: State, x: Tensor) -> Tensor:
        """Return outputs (B, C)."""
        return among(self.model.head(state["weight"], x), state["classes"])

    def commit(self, state: State) -> dict[str, Tensor]:
        """Return the head."""
        return {"head.weight": state["weight"]}
