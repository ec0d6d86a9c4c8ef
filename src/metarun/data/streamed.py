"""Rows in the order of time: the opening to pretrain on, stretches of rows as tasks, and all that follows as a stream.

A dataset says how its rows are read (`read`), a slice at a time, so that a stream costs no memory for its length.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from metarun.data.episodic import Episodic
from metarun.data.standardise import Running
from metarun.data.stretches import Stretches
from metarun.errors import MetarunError
from metarun.metrics.episodic import accuracy, log_loss
from metarun.metrics.regression import mae, mse
from metarun.model import Spec
from metarun.protocols.labels import Metric, of_one

BLOCK = 4096
"""Rows standardised at once where all of a part is needed."""


class Rows(NamedTuple):
    """What a stream is made of."""

    x: Tensor  # (N, F) float32, memory-mapped where it is large
    y: Tensor  # (N,) int64 of classes or float32; nan or -1 where the label never comes
    names: list[str]  # (F,) of the features
    classes: list[str]  # of the labels, empty for numbers
    drifts: list[int]  # first row of each concept but the first, where they are known
    name: str
    checksum: str
    synthetic: bool = False


class Streamed(Episodic):
    """A stream of rows (N, F) with labels (N,), and its stretches as tasks.

    The first `opening` rows are pretrained and meta-trained on and never scored. Features are standardised by what has
    been seen so far. `lags`: labels so many rows back are further features, the group "lags" beside "inputs".
    """

    unit = "stretches"
    cells: list[str]

    def __init__(
        self,
        opening: int,
        standardise: bool,
        lags: list[int],
        supports: list[int],
        queries: int,
        test_tasks: int,
        split_seed: int,
    ) -> None:
        """supports, queries: rows of a stretch to adapt on, and behind them to be asked about."""
        super().__init__(supports, queries, test_tasks)
        self.opening, self.standardise, self.lags, self.split_seed = opening, standardise, sorted(set(lags)), split_seed
        self.cells = ["later"]

    def read(self) -> Rows:
        """Return the rows."""
        raise NotImplementedError

    @cached_property
    def found(self) -> Rows:
        """The rows, read once; raises MetarunError where the opening leaves nothing to predict."""
        rows = self.read()
        if self.opening >= len(rows.y):
            raise MetarunError(
                f"dataset.opening={self.opening}: {rows.name} has {len(rows.y)} rows, of which none is left to predict"
            )
        return rows

    @property
    def exams(self) -> int:
        """How many tasks are asked about after each of them; 0 where rows are scored as they come."""
        return 0

    @property
    def groups(self) -> dict[str, slice]:
        """The columns of each group of features."""
        inputs = self.found.x.shape[1]
        return {"inputs": slice(0, inputs), "lags": slice(inputs, inputs + len(self.lags) * self.of_a_label)}

    @property
    def of_a_label(self) -> int:
        """How many features a label of the past is: one for two classes or a number, else one for each class."""
        classes = len(self.found.classes)
        return classes if classes > 2 else 1

    @property
    def spec(self) -> Spec:
        """What the model is told."""
        groups = {name: (part.start, part.stop) for name, part in self.groups.items() if part.start < part.stop}
        width = max(stop for _, stop in groups.values())
        outputs = max(len(self.found.classes), 1)
        return Spec(outputs=outputs, shape=(width,), classes=len(self.found.classes), task="stretch", groups=groups)

    @property
    def setting(self) -> dict[str, object]:
        """What every figure depends on."""
        return {"opening": self.opening, "standardised": "running" if self.standardise else "not", "lags": self.lags}

    @property
    def metrics(self) -> dict[str, Metric]:
        """Accuracy and log-loss of classes, errors of numbers."""
        if self.found.classes:
            return {"accuracy": accuracy, "log_loss": log_loss}
        return {"squared_error": of_one(mse), "absolute_error": of_one(mae)}

    def describe(self) -> dict[str, object]:
        """Return the dataset as resolved, for the manifest."""
        rows = self.found
        return {
            "name": rows.name, "synthetic": rows.synthetic, "checksum": rows.checksum, "rows": len(rows.y),
            "classes": len(rows.classes), "drifts": len(rows.drifts),
        }  # fmt: skip

    def rows(self, support: int, cell: str | None = None) -> int:
        """Return how many support rows so many are: as many."""
        return support

    def scaler(self) -> Running:
        """Return what standardises the features as nobody has seen a row yet."""
        return Running(self.spec.shape[0])

    def part(self, first: int, last: int, scaler: Running) -> tuple[Tensor, Tensor]:
        """Return features (B, F) and labels (B,) of the rows from `first` up to `last`, which the scaler then has seen.

        The scaler has to have seen all rows before.
        """
        rows = self.found
        x = rows.x[first:last].float()
        if self.lags:
            x = torch.cat([x, *(self.past(first - lag, last - lag) for lag in self.lags)], 1)
        return (scaler(x) if self.standardise else x), rows.y[first:last]

    def past(self, first: int, last: int) -> Tensor:
        """Return labels of rows, which may lie before the first one, as features (B, W): 0 where there is none."""
        y = self.found.y[max(first, 0) : max(last, 0)].float()
        y = torch.cat([y.new_full((last - first - len(y),), torch.nan), y])
        if not self.found.classes:
            return y.nan_to_num(0.0)[:, None]
        known = (y >= 0).float()
        if len(self.found.classes) == 2:
            return ((2 * y - 1) * known).nan_to_num(0.0)[:, None]
        return (y[:, None] == torch.arange(len(self.found.classes))).float()

    @cached_property
    def whole(self) -> tuple[Tensor, Tensor]:
        """All rows as the stream shows them, for tasks and pretraining: features (N, F), labels (N,)."""
        scaler, total = self.scaler(), len(self.found.y)
        parts = [self.part(i, min(i + BLOCK, total), scaler) for i in range(0, total, BLOCK)]
        return torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts])

    def tasks(self, split: str, cell: str | None = None) -> Stretches:
        """Return fixed stretches of the rows behind the opening: of their first third "validation", else "test"."""
        total = len(self.found.y)
        third = self.opening + (total - self.opening) // 3
        first, last = (self.opening, third) if split == "validation" else (third, total)
        return self.stretches(first, last, split, self.split_seed, fixed=True)

    def train_tasks(self, round: int, slices: int, seed: int) -> Stretches:
        """Return random stretches of the opening and of the rounds that are over."""
        later = len(self.found.y) - self.opening
        known = self.opening + (later * round // slices if slices > 1 else 0)
        return self.stretches(0, known, f"round {round}", seed, fixed=False)

    def stretches(self, first: int, last: int, name: str, seed: int, fixed: bool) -> Stretches:
        """Return stretches of a part; raises MetarunError where it is shorter than one of them."""
        need = max(self.supports) + self.queries
        if last - first < need:
            what = "dataset.opening" if not fixed else "the rows behind dataset.opening"
            raise MetarunError(
                f"a stretch has {need} rows (dataset.supports and dataset.queries), but {what} has {last - first}: "
                "lower them" + ("" if fixed else f", or raise dataset.opening={self.opening}")
            )
        x, y = self.whole
        return Stretches(
            x, y, first, last, self.supports, self.queries, number=self.test_tasks, seed=seed, name=name, fixed=fixed
        )

    def labels_used(self, rounds: int, repretrain: bool) -> int:
        """Return how many labels training may read: those of the opening."""
        return self.opening

    def context(self) -> dict[str, Tensor]:
        """Return what is known before the first row."""
        return {"key": torch.zeros((), dtype=torch.int64)}

    @property
    def truth(self) -> Mapping[str, object]:
        """Where the concept changes, as far as it is known."""
        return {"drifts": [row for row in self.found.drifts if row > self.opening]}
