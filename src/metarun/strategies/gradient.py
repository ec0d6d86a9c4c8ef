"""Gradient steps on the support loss; MAML, FOMAML, ANIL, Meta-SGD, fine-tuning, linear probe, SGD, L2-SP are settings.

Finn, Abbeel and Levine, "Model-agnostic meta-learning", ICML 2017; Li et al., "Meta-SGD", 2017 (learned rates);
Raghu et al., "Rapid learning or feature reuse?", ICLR 2020 (head only); Li, Grandvalet and Davoine, ICML 2018 (L2-SP).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad

from metarun.model import Model, readable
from metarun.rule import Batch, Rule, State

HEAD = "head"


def moved(word: str, task: str) -> str:
    """Return the part of the model that "users" or "items" stands for, by what a task is; others mean the same always.

    >>> moved("users", "user"), moved("users", "item"), moved("items", "user"), moved("both", "item")
    ('head', 'rows', 'rows', 'both')
    """
    if word not in ("users", "items"):
        return word
    return "head" if word == f"{task}s" else "rows"


class Gradient(Rule):
    """theta <- theta - rate * gradient of the mean support loss, `steps` times per batch.

    `moves`: "head" adapts the head's weight, "rows" the rows that the task looks up in tables of embeddings
    (`context["rows"]`), "both" the two, "all" the whole backbone as well; "users" and "items" are head and rows where a
    task is a user, the reverse where it is an item. Rows alone change nothing about items met for the first time.
    `shrink`: rows of prior belief; the mean gradient is scaled by
    n / (n + shrink), so that one rate serves small and large supports. `anchor`: weight of |theta - start|^2.
    """

    def __init__(
        self,
        *,
        model: Model,
        moves: str = "head",
        steps: int = 1,
        inner_lr: float = 0.01,
        first_order: bool = False,
        learn_rate: str = "none",
        learns: str = "all",
        shrink: float = 0.0,
        anchor: float = 0.0,
        chunk: int | None = None,
        tune: dict[str, list[float]] | None = None,
    ) -> None:
        super().__init__(model)
        self.moves = moved(moves, model.task)
        self.steps, self.inner_lr, self.first_order = steps, inner_lr, first_order
        self.shrink, self.anchor, self.chunk, self.tune = shrink, anchor, chunk, tune
        model.backbone.requires_grad_(learns == "all")
        shapes = {HEAD: model.head.weight.shape if learn_rate == "parameter" else ()} if self.moves != "rows" else {}
        shapes |= dict.fromkeys(self.of_backbone(), ())
        self.log_scale = nn.ParameterDict(
            {
                name.replace(".", "_"): nn.Parameter(torch.zeros(shape), requires_grad=learn_rate != "none")
                for name, shape in shapes.items()
            }
        )

    @property
    def sees(self) -> str:
        """Head only: features, which the engine encodes once."""
        return "features" if self.moves == "head" else "inputs"

    def start(self, context: dict[str, Any]) -> dict[str, Tensor]:
        """Return what moves, by name, before any label."""
        theta: dict[str, Tensor] = {HEAD: self.model.head.start(context)}
        theta |= self.of_backbone()
        if self.moves != "head":
            for column, ids in context.get("rows", {}).items():
                theta |= {name: theta[name][ids] for name in self.model.backbone.tables[column] if name in theta}
        return theta

    def of_backbone(self) -> dict[str, Tensor]:
        """Return the parameters of the backbone that move, by name: none, its tables, or all."""
        if self.moves == "head":
            return {}
        parameters = dict(self.model.backbone.named_parameters())
        tables = {name for names in self.model.backbone.tables.values() for name in names}
        return parameters if self.moves == "all" else {n: p for n, p in parameters.items() if n in tables}

    def init(self, context: dict[str, Any]) -> State:
        """Return the start, the rate, and what stays fixed during the task."""
        theta = self.start(context)
        rate = context.get("rate", self.inner_lr)
        state: State = {
            "theta": theta,
            "rate": torch.as_tensor(rate, dtype=theta[HEAD].dtype, device=theta[HEAD].device),
        }
        if self.anchor:
            state["start"] = theta
        if "rows" in context:
            fixed = dict(self.model.backbone.named_buffers())
            tables = self.model.backbone.tables
            state["fixed"] = {n: fixed[n][ids] for c, ids in context["rows"].items() for n in tables[c] if n in fixed}
        return state

    def features(self, state: State, theta: dict[str, Tensor], x: Any) -> Tensor:
        """Return features (B, D) under the moved parameters."""
        if self.moves == "head":
            return x  # type: ignore[no-any-return]
        moved = {name: value for name, value in theta.items() if name != HEAD}
        features: Tensor = functional_call(self.model.backbone, {**moved, **state.get("fixed", {})}, (x,))
        return features

    def gradient(self, state: State, batch: Batch) -> dict[str, Tensor]:
        """Return the gradient of the mean loss over known rows, closed form where only a linear head moves."""
        theta, n = state["theta"], batch.known.sum()
        if self.moves == "head" and hasattr(self.model.objective, "residual"):
            out = self.model.head(theta[HEAD], batch.x)
            design, _ = self.model.head.split(batch.x)
            y = readable(batch.y, batch.known)
            residual = self.model.objective.residual(out, y)
            residual = residual * batch.known.reshape(-1, *[1] * (residual.ndim - 1))
            # Under ranking a row has several outputs, each with features of its own.
            design, residual = design.reshape(-1, design.shape[-1]), residual.reshape(-1, residual.shape[-1])
            return {HEAD: design.mT @ residual / n.clamp(min=1.0)}

        def loss(moving: dict[str, Tensor]) -> Tensor:
            theta = {**state["theta"], **moving}
            out = self.model.head(theta[HEAD], self.features(state, theta, batch.x))
            return self.model.loss(out, batch.y, batch.known)

        moving = {name: value for name, value in theta.items() if name != HEAD or self.moves != "rows"}
        gradient: dict[str, Tensor] = grad(loss)(moving)
        return gradient

    def direction(self, gradient: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the step direction of a gradient; a learned update rule changes it here."""
        return gradient

    def path(self, state: State, batch: Batch) -> Iterator[State]:
        """Yield the state after each gradient step."""
        n = batch.known.sum()
        weight = n / (n.clamp(min=1.0) + self.shrink)
        for _ in range(int(self.steps)):
            g = self.direction(self.gradient(state, batch))
            if self.first_order:
                g = {name: value.detach() for name, value in g.items()}
            if self.anchor:
                pull = {k: 2 * self.anchor * (state["theta"][k] - state["start"][k]) for k in g}
                g = {name: value + pull[name] for name, value in g.items()}
            rate = {name: state["rate"] * weight * self.log_scale[name.replace(".", "_")].exp() for name in g}
            steps = {name: state["theta"][name] - rate[name] * g[name] for name in g}
            state = {**state, "theta": {**state["theta"], **steps}}
            yield state

    def update(self, state: State, batch: Batch) -> State:
        """Return the state after `steps` gradient steps on one batch."""
        return deque(self.path(state, batch), maxlen=1).pop()

    def predict(self, state: State, x: Any) -> Tensor:
        """Return outputs (B, C)."""
        out: Tensor = self.model.head(state["theta"][HEAD], self.features(state, state["theta"], x))
        return out

    def commit(self, state: State) -> dict[str, Tensor]:
        """Return the moved parameters under their names in the model."""
        theta = state["theta"]
        return {"head.weight": theta[HEAD]} | {f"backbone.{k}": v for k, v in theta.items() if k != HEAD}
