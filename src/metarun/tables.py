"""The contract of a rule over one stream of everybody's rows: its state is tables, written where a row touches them.

It is `metarun.rule.Rule` with four differences, for a pass over millions of rows cannot copy its tables at each:

- `update` and `step` change the state that they are given and return it; what a batch does not name stays as it is.
- A batch of any length is taken row by row, each predicted before it is learned from: chunk = 1 whatever its length.
- The points of a `tune` grid run side by side: outputs are (B, P), where another rule's are (B, C).
- There is no model: what such a rule knows it has learned from the stream.

Shapes: B rows, P points, D numbers per user or item.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metarun.errors import MetarunError
from metarun.rule import Batch, Rule, State, Tree

Values = NDArray[Any]


class TableRule(Rule):
    """A new one writes `init`, `learn` and `predict`."""

    tunable: tuple[str, ...] = ()
    """Attributes that may differ between points."""

    replays: bool = False
    """True: the state is not of tensors, so a run that is taken up learns the rows of its past once more."""

    def __init__(self, model: Any = None, tune: dict[str, list[float]] | None = None) -> None:
        super().__init__(model)
        self.tune = tune
        wrong = [name for name in tune or {} if name not in self.tunable]
        if wrong:
            raise MetarunError(
                f"tune.{wrong[0]}: points run side by side in one pass and may differ in {', '.join(self.tunable)} only"
            )

    def init(self, context: dict[str, Any]) -> State:
        """Return the state before any row; the context names "users" and "items" (how many), "scale", "seed", "points".

        In tensors of two or more axes axis 1 is P; those of one axis are shared by all points.
        """
        raise NotImplementedError

    def learn(self, state: State, batch: Batch) -> Tensor:
        """Return the predictions (B, P), each made before its row was learned from; the state is changed."""
        raise NotImplementedError

    def update(self, state: State, batch: Batch) -> State:
        """Return the state that was given, after the batch's rows one by one."""
        self.learn(state, batch)
        return state

    def step(self, state: State, batch: Batch) -> tuple[Tensor, State]:
        """Return (predictions (B, P) made row by row, the state that was given, after the rows)."""
        return self.learn(state, batch), state

    def keep(self, state: State, point: int) -> State:
        """Return a copy of the state with one of its points."""
        return {name: kept(leaf, point) for name, leaf in state.items()}

    def values(self, name: str, points: list[dict[str, float]]) -> Tensor:
        """Return an attribute (1, P) at the points; those that do not name it have the rule's own."""
        return torch.tensor([[point.get(name, getattr(self, name)) for point in points]], dtype=torch.float32)


def kept(leaf: Tensor, point: int) -> Tensor:
    """Return a copy of a tensor with one of its points, (N, 1, ...); a copy of all where it has no axis of points."""
    return leaf[:, point : point + 1].clone() if leaf.ndim > 1 else leaf.clone()


def each_row(batch: Batch) -> Iterator[tuple[int, int, int, float | None]]:
    """Yield (row, user, item, label) of the rows that exist; the label is None where it may not be read."""
    columns = (batch.x["user"], batch.x["item"], batch.y, batch.mask, batch.known)
    for row, (user, item, y, mask, known) in enumerate(zip(*(c.tolist() for c in columns), strict=True)):
        if mask:
            yield row, user, item, y if known else None


def arrays(state: State) -> dict[str, Values]:
    """Return numpy arrays that share the memory of a state's tensors."""
    return {name: leaf.numpy() for name, leaf in state.items()}


def outputs(batch: Batch, points: int) -> Values:
    """Return an empty array (B, P) for predictions; 0 for rows that do not exist."""
    return np.zeros((len(batch.y), points), np.float32)


def places(x: Tree, users: int) -> Tensor:
    """Return the rows (B, 2) of a user and of an item in a table of the users followed by the items."""
    return torch.stack([x["user"], x["item"] + users], 1)
