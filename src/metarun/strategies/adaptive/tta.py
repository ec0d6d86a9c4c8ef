"""Rows without a label are made certain: entropy minimisation of scales and shifts, tied to the start, reset at alarms.

Wang et al., "Tent: fully test-time adaptation by entropy minimization", ICLR 2021; the tie and the reset after Niu et
al., "Towards stable test-time adaptation in dynamic wild world", ICLR 2023.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.func import functional_call, grad

from metarun.backbones.normalisation import Normalisation
from metarun.model import Model, masked_mean
from metarun.rule import Batch, Rule, State
from metarun.strategies.anchor import proximal

SCALE = "scale"
Affine = dict[str, Tensor]


class Tent(Rule):
    """Labelled rows teach the head by another rule; each chunk's other rows move `affine` down their mean entropy.

    `affine`: scales and shifts of the backbone's normalisation; where it has none, a factor (D,) on the features. Each
    step at rate `lr` is followed by a pull of strength lr * `anchor` to the start, where an alarm takes them back to.
    Under the prequential protocol with late labels a row is seen without its label first.
    """

    listens: ClassVar[bool] = True
    alone: ClassVar[bool] = True
    transductive: ClassVar[bool] = True

    def __init__(
        self, *, model: Model, rule: Callable[..., Rule], lr: float, anchor: float, chunk: int | None = 1
    ) -> None:
        super().__init__(model)
        self.rule = rule(model=model)
        self.lr, self.anchor, self.chunk = lr, anchor, chunk
        layers = {name for name, layer in model.backbone.named_modules() if isinstance(layer, Normalisation)}
        self.affine = [name for name, _ in model.backbone.named_parameters() if name.rpartition(".")[0] in layers]

    @property
    def sees(self) -> str:
        """Features where a factor on them is all that adapts."""
        return "inputs" if self.affine else "features"

    def init(self, context: dict[str, Any]) -> State:
        """Return the start, and no steps so far."""
        weight, parameters = self.model.head.weight, dict(self.model.backbone.named_parameters())
        start = {name: parameters[name] for name in self.affine} or {SCALE: torch.ones_like(weight[:, 0])}
        number = torch.zeros((), dtype=torch.int64)
        return {"rule": self.rule.init(context), "affine": start, "start": start, "steps": number, "resets": number}

    def features(self, affine: Affine, x: Tensor, counted: Tensor) -> Tensor:
        """Return features (B, D) under scales and shifts; counted (B,): the rows that statistics are made of."""
        if not self.affine:
            return x * affine[SCALE]
        given = (x, counted) if self.model.pooled else (x,)
        features: Tensor = functional_call(self.model.backbone, affine, given)
        return features

    def predict(self, state: State, x: Any) -> Tensor:
        """Return outputs (B, C)."""
        every = self.model.head.weight.new_ones(len(x))
        return self.rule.predict(state["rule"], self.features(state["affine"], x, every))

    def update(self, state: State, batch: Batch) -> State:
        """Return the state after a chunk: an alarm first, then the rows with a label, then those without."""
        if int(batch.event) >= self.hears:
            state = {**state, "affine": state["start"], "resets": state["resets"] + 1}
        if batch.known.sum() > 0:
            features = self.features(state["affine"], batch.x, batch.mask)
            state = {**state, "rule": self.rule.update(state["rule"], batch._replace(x=features))}
        hidden = batch.mask * (1 - batch.known)
        if hidden.sum() == 0:
            return state

        def loss(affine: Affine) -> Tensor:
            out = self.rule.predict(state["rule"], self.features(affine, batch.x, batch.mask))
            return masked_mean(entropy(out), hidden)

        affine, slope = state["affine"], grad(loss)(state["affine"])
        moved = {name: value - self.lr * slope[name] for name, value in affine.items()}
        moved = proximal(moved, state["start"], self.lr * self.anchor)
        return {**state, "affine": moved, "steps": state["steps"] + 1}

    def told(self, state: State) -> dict[str, Tensor]:
        """Return how many steps and resets there were, and how far scales and shifts are from the start."""
        away = [(value - state["start"][name]).square().sum() for name, value in state["affine"].items()]
        return {"steps": state["steps"], "resets": state["resets"], "away": torch.stack(away).sum().sqrt()}

    def commit(self, state: State) -> dict[str, Tensor]:
        """Return the head, with a factor on the features in it, or with scales and shifts beside it."""
        found = self.rule.commit(state["rule"])
        if self.affine:
            return found | {f"backbone.{name}": value for name, value in state["affine"].items()}
        return found | {"head.weight": found["head.weight"] * state["affine"][SCALE][:, None]}


def entropy(out: Tensor) -> Tensor:
    """Return the entropy (B,) of classes with scores (B, C)."""
    told = out.log_softmax(-1)
    return -(told.exp() * told).sum(-1)
