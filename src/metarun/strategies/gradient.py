"""Gradient steps on the support loss; MAML, FOMAML, ANIL, Meta-SGD, fine-tuning, linear probe, SGD, L2-SP are settings.

Finn, Abbeel and Levine, "Model-agnostic meta-learning", ICML 2017; Li et al., "Meta-SGD", 2017 (learned rates);
Raghu et al., "Rapid learning or feature reuse?", ICLR 2020 (head only); Li, Grandvalet and Davoine, ICML 2018 (L2-SP).
The support loss is a mean over rows. Code that sums it over the classes (MAML's own) has rates C times as large as they
read: its 0.4 at 5 classes is 2.0 here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.func import functional_call, grad
from torch.utils._pytree import tree_map

from metarun.model import Model, among, readable
from metarun.objectives.cross_entropy import CrossEntropy
from metarun.objectives.squared import Squared
from metarun.rule import Batch, Rule, State, Task, chunks, support
from metarun.strategies import anchor as tie
from metarun.strategies import rates, row_by_row
from metarun.strategies.rates import HEAD
from metarun.strategies.row_by_row import kernels


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
    `test_steps`: steps of everything but the outer loss, None for `steps`, so that what is judged takes as many as it
    is told and training stays as it is. `learn_rate`: see `rates.learned`. `shrink`: rows of prior belief; the mean
    gradient is scaled by n / (n + shrink), so that one rate serves small and large supports. `anchor`: weight of
    |theta - start|^2.

    Where the backbone normalises by the support, its rows are part of the state: those of the last batch, under the
    moved parameters, are the statistics of whatever is predicted.
    """

    linear: ClassVar[bool] = True
    """Whether scores are the head's product, whose gradient has a closed form."""

    def __init__(
        self,
        *,
        model: Model,
        moves: str = "head",
        steps: int = 1,
        test_steps: int | None = None,
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
        self.steps, self.test_steps, self.inner_lr, self.first_order = steps, test_steps, inner_lr, first_order
        self.shrink, self.anchor, self.chunk, self.tune = shrink, anchor, chunk, tune
        self.learn_rate = learn_rate
        model.backbone.requires_grad_(learns == "all")
        found = rates.learned(learn_rate, self.moving(), self.tables(), steps, inner_lr)
        # Factors and rates are two names, so that neither is ever read as the other.
        self.log_scale = rates.nothing() if learn_rate in rates.OWN else found
        self.rates = found if learn_rate in rates.OWN else rates.nothing()

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

    def moving(self) -> dict[str, Tensor]:
        """Return the parameters that move, by name."""
        return ({} if self.moves == "rows" else {HEAD: self.model.head.weight}) | self.of_backbone()

    def of_backbone(self) -> dict[str, Tensor]:
        """Return the parameters of the backbone that move, by name: none, its tables, or all."""
        if self.moves == "head":
            return {}
        parameters, tables = dict(self.model.backbone.named_parameters()), self.tables()
        return parameters if self.moves == "all" else {n: p for n, p in parameters.items() if n in tables}

    def tables(self) -> set[str]:
        """Return the names of the parameters that are looked up by row."""
        return {name for names in self.model.backbone.tables.values() for name in names}

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
        if "classes" in context:
            state["classes"] = context["classes"]
        if self.looks_back:
            state["seen"] = ()
        if "rows" in context:
            fixed = dict(self.model.backbone.named_buffers())
            tables = self.model.backbone.tables
            state["fixed"] = {n: fixed[n][ids] for c, ids in context["rows"].items() for n in tables[c] if n in fixed}
        return state

    @property
    def looks_back(self) -> bool:
        """Whether features of new rows depend on the support under the moved parameters, so that its rows are kept."""
        return self.moves != "head" and self.model.pooled and self.model.backbone.norm == "support"

    def features(self, state: State, theta: dict[str, Tensor], x: Any, counted: Tensor | None = None) -> Tensor:
        """Return features (B, D) under the moved parameters; counted (B,): the rows that statistics are made of."""
        if self.moves == "head":
            return x  # type: ignore[no-any-return]
        moved = {name: value for name, value in theta.items() if name != HEAD}
        given = (x, counted) if self.model.pooled else (x,)
        features: Tensor = functional_call(self.model.backbone, {**moved, **state.get("fixed", {})}, given)
        return features

    def scores(self, state: State, weight: Tensor, features: Tensor) -> Tensor:
        """Return outputs (B, C) of a weight (D, C), closed where the task does not have the class."""
        return among(self.model.head(weight, features), state.get("classes"))

    def gradient(self, state: State, batch: Batch) -> dict[str, Tensor]:
        """Return the gradient of the mean loss over known rows, closed form where only a linear head moves."""
        theta, n = state["theta"], batch.known.sum()
        if self.linear and self.moves == "head" and hasattr(self.model.objective, "residual"):
            out = self.scores(state, theta[HEAD], batch.x)
            design, _ = self.model.head.split(batch.x)
            y = readable(batch.y, batch.known)
            residual = self.model.objective.residual(out, y)
            residual = residual * batch.known.reshape(-1, *[1] * (residual.ndim - 1))
            # Under ranking a row has several outputs, each with features of its own.
            design, residual = design.reshape(-1, design.shape[-1]), residual.reshape(-1, residual.shape[-1])
            return {HEAD: design.mT @ residual / n.clamp(min=1.0)}

        def loss(moving: dict[str, Tensor]) -> Tensor:
            theta = {**state["theta"], **moving}
            out = self.scores(state, theta[HEAD], self.features(state, theta, batch.x, batch.known))
            return self.model.loss(out, batch.y, batch.known)

        moving = {name: value for name, value in theta.items() if name != HEAD or self.moves != "rows"}
        gradient: dict[str, Tensor] = grad(loss)(moving)
        return gradient

    def direction(self, gradient: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the step direction of a gradient; a learned update rule changes it here."""
        return gradient

    def walk(self, state: State, batch: Batch, steps: int) -> Iterator[State]:
        """Yield the state after each of so many gradient steps."""
        n = batch.known.sum()
        weight = n / (n.clamp(min=1.0) + self.shrink)
        if self.looks_back:
            state = {**state, "seen": (batch.x, batch.known)}
        for step in range(int(steps)):
            g = self.gradient(state, batch)
            if self.cuts:
                g = {name: value.detach() for name, value in g.items()}
            g = self.direction(g)  # behind the cut: what it learns is no second derivative
            if self.anchor:
                tied = tie.pull({k: state["theta"][k] for k in g}, state["start"], 2 * self.anchor)
                g = {name: value + tied[name] for name, value in g.items()}
            rate = {name: self.rate(state, name, step, int(steps), weight) for name in g}
            moved = {name: state["theta"][name] - rate[name] * g[name] for name in g}
            state = {**state, "theta": {**state["theta"], **moved}}
            yield state

    def rate(self, state: State, name: str, step: int, steps: int, weight: Tensor) -> Tensor:
        """Return the rate of a tensor at one of so many steps; weight (): of the rows."""
        values = self.rates if self.learn_rate in rates.OWN else self.log_scale
        return rates.at(self.learn_rate, values, name, step, state["rate"], weight)

    @property
    def cuts(self) -> bool:
        """Whether the outer gradient leaves out the second derivative."""
        return self.first_order

    def path(self, state: State, batch: Batch) -> Iterator[State]:
        """Yield the state after each gradient step, of as many as the rule is judged with."""
        return self.walk(state, batch, self.test_steps or self.steps)

    def update(self, state: State, batch: Batch) -> State:
        """Return the state after the gradient steps on one batch."""
        return deque(self.path(state, batch), maxlen=1).pop()

    @property
    def plain(self) -> bool:
        """Whether a step is that of a linear head alone, by the gradient of a loss that `row_by_row` knows."""
        return (
            type(self) is Gradient
            and self.moves == "head"
            and self.steps == 1
            and not (self.test_steps or self.anchor or self.shrink or self.learn_rate in rates.OWN)
            and isinstance(self.model.objective, CrossEntropy | Squared)
            and not self.model.head.offset
            and self.model.head.side is None
        )

    def follow(self, state: State, ask: Any, batch: Batch, chunk: int) -> tuple[Tensor, State]:
        """Return (outputs (B, C), state) of rows of a stream; without torch's cost per row where the rule is plain."""
        if not self.plain or "classes" in state or state["theta"][HEAD].device.type != "cpu":
            return super().follow(state, ask, batch, chunk)
        weight, one = state["theta"][HEAD], torch.ones_like(state["rate"])
        rate = rates.at(self.learn_rate, self.log_scale, HEAD, 0, state["rate"], one)
        classes = isinstance(self.model.objective, CrossEntropy)
        out, moved = kernels(self.kernel).gradient(
            weight.numpy(), *row_by_row.arrays(ask, batch), rate.numpy(), chunk, classes
        )  # fmt: skip
        return torch.from_numpy(out), {**state, "theta": {**state["theta"], HEAD: torch.from_numpy(moved)}}

    def adapt(self, task: Task) -> State:
        """Return the state after the support set, which knows which rows of the query exist."""
        return self.asked(super().adapt(task), task)

    def asked(self, state: State, task: Task) -> State:
        """Return the state with the query rows that statistics are made of, where they are made of the query."""
        own = self.moves != "head" and self.model.pooled and not self.looks_back
        return {**state, "asked": task.query.mask} if own else state

    def outer(self, task: Task) -> Tensor:
        """Return the query loss () after `steps` gradient steps, whatever `test_steps` says."""
        state = self.init(task.context)
        for batch in chunks(support(task, self.transductive), self.chunk):
            state = deque(self.walk(state, batch, self.steps), maxlen=1).pop()
        return self.query_loss(state, task)

    def query_loss(self, state: State, task: Task) -> Tensor:
        """Return the mean query loss () of a state."""
        out = self.predict(self.asked(state, task), task.query.x)
        return self.model.loss(out, task.query.y, task.query.known)

    def predict(self, state: State, x: Any) -> Tensor:
        """Return outputs (B, C) of rows (B, ...), normalised by statistics of the support or of these rows."""
        theta = state["theta"]
        if self.moves == "head":
            return self.scores(state, theta[HEAD], x)
        if not self.looks_back:
            counted = theta[HEAD].new_ones(len(x))
            if "asked" in state and len(state["asked"]) == len(x):
                counted = state["asked"]
            return self.scores(state, theta[HEAD], self.features(state, theta, x, counted))
        seen, known = state["seen"] or (x[:0], theta[HEAD].new_zeros(0))
        joint = tree_map(lambda a, b: torch.cat([a, b]), seen, x)
        counted = torch.cat([known, known.new_zeros(len(x))])
        return self.scores(state, theta[HEAD], self.features(state, theta, joint, counted)[len(known) :])

    def commit(self, state: State) -> dict[str, Tensor]:
        """Return the moved parameters under their names in the model."""
        theta = state["theta"]
        return {"head.weight": theta[HEAD]} | {f"backbone.{k}": v for k, v in theta.items() if k != HEAD}
