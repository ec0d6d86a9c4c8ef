"""Estimators of scikit-learn as update rules: what a practitioner would try, fitted on all that a task may read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from metarun.data.split import hashed
from metarun.errors import MetarunError
from metarun.model import Model
from metarun.rule import Batch, Rule, State, Task
from metarun.strategies.classes import classifies

LEAST = 1e-6
"""Of a predicted probability: an estimator that is certain and wrong would have an infinite loss."""


class Estimator(Rule):
    """Fits an estimator on the support so far, behind training rows if `pooled`; a subclass writes `make`.

    It reads what `columns` makes of the model's inputs. With no row at all every class is as likely.
    """

    alone: ClassVar[bool] = True
    everyone = True

    x: Tensor
    y: Tensor

    def __init__(self, *, model: Model, pooled: int) -> None:
        """pooled: how many different rows of training tasks are fitted as well, at most."""
        super().__init__(model)
        self.pooled, self.classifies = pooled, classifies(model)
        self.register_buffer("x", torch.zeros(0, 0))
        self.register_buffer("y", torch.zeros(0))
        self.unadapted: Any = None

    def make(self) -> Any:
        """Return a fresh estimator."""
        raise NotImplementedError

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        """Take rows of any number."""
        self.x, self.y = state_dict["x"].clone(), state_dict["y"].clone()
        return super().load_state_dict(state_dict, strict, assign)

    @torch.no_grad()
    def prepare(self, tasks: Iterator[Task]) -> None:
        """Keep different rows of training tasks."""
        if not self.pooled:
            return
        found = [(self.columns(part.x[part.known > 0]), part.y[part.known > 0]) for task in tasks for part in task[1:]]
        x, y = (torch.cat(parts) for parts in zip(*found, strict=True))
        rows = torch.unique(torch.cat([x.double(), y.double()[:, None]], 1), dim=0)
        rows = rows[torch.from_numpy(np.argsort(hashed(0, np.arange(len(rows))), kind="stable"))[: self.pooled]]
        self.x, self.y = rows[:, :-1], rows[:, -1]

    def init(self, context: dict[str, Any]) -> State:
        """Return no rows."""
        return {"x": self.x, "y": self.y}

    def update(self, state: State, batch: Batch) -> State:
        """Add the rows whose label is known."""
        known = batch.known > 0
        x, y = self.columns(batch.x[known]).double(), batch.y[known].double()
        return {"x": torch.cat([state["x"].reshape(-1, x.shape[1]), x]), "y": torch.cat([state["y"], y])}

    def predict(self, state: State, x: Tensor) -> Tensor:
        """Return log-probabilities (B, C), or predicted numbers (B, 1)."""
        outputs, rows = self.model.head.weight.shape[1], self.columns(x).double().numpy()
        known, label = state["x"].numpy(), state["y"].numpy()
        if not self.classifies:
            found = np.full(len(rows), label.mean() if len(label) else 0.0)
            found = self.fitted(known, label).predict(rows) if len(label) > 1 else found
            return torch.from_numpy(found[:, None]).to(self.model.head.weight.dtype)
        seen = np.unique(label).astype(int)
        chance = np.full((len(rows), outputs), 1.0 / outputs)
        if len(seen) == 1:  # nothing to tell apart: Laplace's rule of succession
            chance = np.full((len(rows), outputs), 1.0) / (len(label) + outputs)
            chance[:, seen[0]] += len(label) / (len(label) + outputs)
        elif len(seen) > 1:
            chance = np.zeros((len(rows), outputs))
            chance[:, seen] = self.chances(self.fitted(known, label.astype(int)), rows)
        return torch.from_numpy(np.log(np.maximum(chance, LEAST))).to(self.model.head.weight.dtype)

    def columns(self, x: Tensor) -> Tensor:
        """Return what the estimator reads of inputs (B, ...), (B, D)."""
        return x.flatten(1)

    def chances(self, fitted: Any, x: Any) -> Any:
        """Return probabilities (B, classes) of rows (B, D)."""
        return fitted.predict_proba(x)

    def fitted(self, x: Any, y: Any) -> Any:
        """Return the estimator of rows (N, D); that of training rows alone is the same for all tasks, and kept."""
        if not 0 < len(y) == len(self.y):
            return self.make().fit(x, y)
        if self.unadapted is None:
            self.unadapted = self.make().fit(x, y)
        return self.unadapted


def sklearn(module: str, name: str) -> Any:
    """Return a class of scikit-learn. Raises MetarunError where that is not installed."""
    try:
        import importlib

        return getattr(importlib.import_module(f"sklearn.{module}"), name)
    except ImportError as error:
        raise MetarunError(
            f'baselines by scikit-learn ({name}) need it, and it is not installed: pip install "metarun[tables]"'
        ) from error
