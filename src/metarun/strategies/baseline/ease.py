"""EASE: a linear model from items to items in closed form.

Steck, "Embarrassingly shallow autoencoders for sparse data", WWW 2019.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from metarun.errors import MetarunError
from metarun.model import Model
from metarun.rule import Batch, Rule, State, Task
from metarun.strategies.baseline.popularity import looked_up, shown

MATRICES = 3
"""Matrices of items x items that are there at the same time: the counts, their factor and its inverse."""


class Ease(Rule):
    """score = x B for a user's items x (M,), B = argmin |X - X B|^2 + l2 |B|^2 with diag B = 0, X all training users.

    `l2` may change after `prepare`, as on a grid: B is computed when it is first asked for, and kept as long as
    `memory_gb` has room.
    """

    everyone = True

    gram: Tensor  # (A, A)
    chosen: Tensor  # (A,) the items that anybody has; the others score 0

    def __init__(
        self, *, model: Model, l2: float, memory_gb: float, tune: dict[str, list[float]] | None = None
    ) -> None:
        super().__init__(model)
        items = model.backbone.items
        each = 4 * items**2 / 1e9
        if MATRICES * each > memory_gb:
            raise MetarunError(
                f"baseline/ease needs {MATRICES * each:,.1f} GB for {items:,} x {items:,} items, and its memory_gb is "
                f"{memory_gb:g}: leave it out of evaluate.against, raise memory_gb, or keep fewer items "
                "(dataset.core=10)."
            )
        self.tune, self.l2 = tune, l2
        self.memory_gb = memory_gb
        self.kept: dict[float, Tensor] = {}
        self.items = items
        self.register_buffer("gram", torch.zeros(0, 0))
        self.register_buffer("chosen", torch.zeros(0, dtype=torch.int64))

    def prepare(self, tasks: Iterator[Task]) -> None:
        """Count, for every two items, the training users who have both."""
        self.kept.clear()
        gram = self.gram.new_zeros(self.items, self.items)
        for task in tasks:
            item, weight = shown(task.support)
            rows = gram.new_zeros(len(item), self.items)
            rows.scatter_add_(1, item, weight.to(rows))
            gram.addmm_(rows.mT, rows)
        self.chosen = gram.diagonal().nonzero()[:, 0]
        self.gram = gram[self.chosen][:, self.chosen]

    @torch.no_grad()
    def weights(self) -> Tensor:
        """Return B (A, A) for the penalty."""
        if self.l2 not in self.kept:
            room = int(self.memory_gb / (4 * max(1, len(self.gram)) ** 2 / 1e9)) - MATRICES + 1
            while len(self.kept) >= max(1, room):
                self.kept.pop(next(iter(self.kept)))
            matrix = self.gram.clone()
            matrix.diagonal().add_(self.l2)
            matrix = torch.linalg.cholesky(matrix)
            matrix = torch.cholesky_inverse(matrix)
            matrix /= -matrix.diagonal().clone()
            self.kept[self.l2] = matrix.fill_diagonal_(0.0)
        return self.kept[self.l2]

    def init(self, context: dict[str, Any]) -> State:
        """Return the user's items (M,): none."""
        return {"items": self.gram.new_zeros(self.items)}

    def update(self, state: State, batch: Batch) -> State:
        """Add the known items."""
        item, weight = shown(batch)
        return {"items": state["items"].scatter_add(0, item, weight.to(self.gram))}

    def predict(self, state: State, x: dict[str, Tensor]) -> Tensor:
        """Return outputs (B, 1), or (B, 1 + N, 1) with the items that each row is ranked against."""
        found = state["items"].index_select(0, self.chosen) @ self.weights()
        return looked_up(torch.zeros_like(state["items"]).scatter(0, self.chosen, found), x)
