"""Scores of every item for a person, from what they rated; batched over people, and over ratings left out.

Shapes: M items, T people, S support rows, D features.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.func import vmap
from torch.utils._pytree import tree_map

from metarun.hashing import below, combine
from metarun.rule import Batch, Rule, State, Task
from metarun.strategies.gaussian import Gaussian
from metarun.tasks import encode

BUDGET = 2**22
"""Numbers that one batched intermediate may have: 16 MB."""


class Engine:
    """A rule over a catalogue whose features are computed once; `new` (N, D) are items behind those of the run."""

    def __init__(
        self, rule: Rule, items: int, chosen: dict[int, dict[str, Any]], context: Tensor, new: Tensor | None = None
    ) -> None:
        self.rule, self.chosen, self.known = rule, chosen, items
        self.context = {"key": torch.zeros((), dtype=torch.int64), "features": context}
        self.negatives = int(getattr(rule.model.objective, "negatives", 0))
        self.features: Tensor | None = None
        if rule.sees == "features":
            with torch.no_grad():
                found = rule.model.features({"item": torch.arange(items)})
                self.features = found if new is None else torch.cat([found, new])
        self.items = self.known if self.features is None else len(self.features)
        self.width = rule.model.head.weight.shape[0]

    def values(self, rows: int) -> dict[str, Any]:
        """Return what validation chose for supports of this size: at the largest judged size not above it."""
        below_it = [size for size in self.chosen if size <= rows]
        size = max(below_it) if below_it else min(self.chosen, default=None)
        return {} if size is None else self.chosen[size]

    def about(self, features: Tensor | None) -> dict[str, Tensor]:
        """Return the context of a person: what is known about them, else that of the average training user."""
        return self.context if features is None else {**self.context, "features": features}

    def task(self, item: Tensor, y: Tensor, known: Tensor, targets: Tensor | None, context: dict[str, Tensor]) -> Task:
        """Return people (T, S) as tasks as the rule sees them; the query is `targets` (Q,), or every item for None."""
        people = item.shape[0]
        none = torch.zeros(people, dtype=torch.int64)
        context = {name: leaf.expand(people, *leaf.shape) for name, leaf in context.items()}
        if self.features is not None:
            asked = self.features if targets is None else self.features[targets]
            chosen = self.features[item]
            if self.negatives:
                chosen = torch.cat([chosen[..., None, :], self.features[self.others(item)]], -2)
            hidden = torch.zeros(people, len(asked))
            query = Batch(asked.expand(people, *asked.shape), hidden, hidden, hidden, none)
            return Task(context, Batch(chosen, y, known, known, none), query)
        x = {"item": item}
        if self.negatives:
            x["others"] = self.others(item)
        wanted = torch.arange(self.items) if targets is None else targets
        hidden = torch.zeros(people, len(wanted))
        query = Batch({"item": wanted.expand(people, -1)}, hidden, hidden, hidden, none)
        return encode(self.rule, Task(context, Batch(x, y, known, known, none), query))

    def others(self, item: Tensor) -> Tensor:
        """Return the items (..., N) that each row is ranked against: drawn by a hash of the item and their place."""
        place = torch.arange(self.negatives)
        return below(combine(0, item[..., None], place), torch.tensor(self.known))

    # ------------------------------------------------------------------ one person

    def adapt(self, item: Tensor, y: Tensor, about: Tensor | None = None) -> tuple[State, Tensor]:
        """Return the state after ratings (S,) and the scores (M,) of all items."""
        task = single(self.task(item[None], y[None], torch.ones(1, len(item)), None, self.about(about)))
        with torch.no_grad(), self.rule.set(self.values(len(item))):
            state = self.rule.adapt(task)
            return state, self.rule.predict(state, task.query.x)[:, 0]

    def changes(self, item: Tensor, y: Tensor, targets: Tensor, about: Tensor | None = None) -> Tensor:
        """Return by how much each rating (S,) moved each target (Q,): score with all less score without it, (S, Q).

        Every value is that of an adaptation of its own, under the values chosen for all S ratings.
        """
        task = single(self.task(item[None], y[None], torch.ones(1, len(item)), targets, self.about(about)))
        rows, parts = len(item), []
        with torch.no_grad(), self.rule.set(self.values(rows)):
            whole = self.rule.adapt(task)
            full = self.rule.predict(whole, task.query.x)[:, 0]
            if isinstance(self.rule, Gaussian):
                without, at_once = self.taken_back(task, whole), self.width**2
            else:
                without, at_once = self.hidden(task), self.width * (1 + self.negatives) * (self.rule.chunk or rows)
            step = max(1, BUDGET // (at_once + len(targets)))
            for first in range(0, rows, step):
                parts.append(full - vmap(without)(torch.arange(first, min(first + step, rows))))
        return torch.cat(parts) if parts else full.new_zeros(0, len(targets))

    def hidden(self, task: Task) -> Any:
        """Return the function from a row's number to the scores after adapting to all other rows."""
        places = torch.arange(task.support.y.shape[0])

        def without(row: Tensor) -> Tensor:
            keep = (places != row).to(task.support.known)
            rest = task._replace(support=task.support._replace(mask=keep, known=keep))
            return self.rule.predict(self.rule.adapt(rest), task.query.x)[:, 0]

        return without

    def taken_back(self, task: Task, whole: State) -> Any:
        """Return the same for a closed form, whose state is sums over rows: one row is taken back from them."""
        first = self.rule.init(task.context)

        def without(row: Tensor) -> Tensor:
            one = tree_map(lambda leaf: leaf.index_select(0, row[None]) if leaf.ndim else leaf, task.support)
            alone = self.rule.update(first, one)
            state = {**whole, **{name: whole[name] - (alone[name] - first[name]) for name in ("A", "b")}}
            return self.rule.predict(state, task.query.x)[:, 0]

        return without

    # ------------------------------------------------------------------ many people

    def at_once(self, rows: int) -> int:
        """Return how many people with up to `rows` ratings are answered in one batch."""
        inner = self.width * (1 + self.negatives)
        each: int = max(self.items if self.features is not None else self.items * self.width, rows * inner)
        return max(1, BUDGET // each)

    def many(self, item: Tensor, y: Tensor, known: Tensor, features: Tensor | None = None) -> Tensor:
        """Return scores (T, M) of people (T, S) under one choice of values; of `features` (M, D) instead of items."""
        task = self.task(item, y, known, None, self.context)
        shared = self.features if features is None else features

        def one(context: Any, support: Batch, query: Batch) -> Tensor:
            asked = query._replace(x=shared) if shared is not None else query
            return self.rule.predict(self.rule.adapt(Task(context, support, asked)), asked.x)[:, 0]

        rows = int(known.sum(1).max()) if known.numel() else 0
        with torch.no_grad(), self.rule.set(self.values(rows)):
            found: Tensor = vmap(one)(task.context, task.support, task.query)
        return found


def single(task: Task) -> Task:
    """Return the only task of a batch."""
    found: Task = tree_map(lambda leaf: leaf[0], task)
    return found
