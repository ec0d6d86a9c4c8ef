"""Rows of known classes: those that pretraining sees, in batches, and those that were held out."""

from __future__ import annotations

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metarun.data.distortion import Change
from metarun.data.episodes import Bank
from metarun.hashing import combine
from metarun.rule import Batch, Task


class Shuffled:
    """Numbers of rows in batches, an epoch in an order of its own: a pure function of (seed, step)."""

    def __init__(self, number: int, rows: int, seed: int) -> None:
        self.total, self.rows, self.seed, self.epoch = number, rows, seed, -1
        self.order = torch.arange(number)

    def __len__(self) -> int:
        """Steps per epoch; a last, shorter batch counts."""
        return -(-self.total // self.rows)

    def drawn(self, step: int, device: torch.device) -> Tensor:
        """Return the numbers (B,) of the rows of a batch."""
        epoch, part = divmod(step, len(self))
        if epoch != self.epoch:
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
            self.order, self.epoch = torch.randperm(self.total, generator=generator).to(device), epoch
        return self.order[part * self.rows : (part + 1) * self.rows]

    def users(self) -> Tensor:
        """Return nothing: a row is nobody's."""
        return torch.zeros(0, dtype=torch.int64)


class PlainSource(Shuffled):
    """Some rows of a table, as they are."""

    def __init__(
        self,
        inputs: Tensor,
        label: Tensor,
        kept: Tensor,
        rows: int,
        seed: int,
        round: int,
        change: Change | None = None,
    ) -> None:
        """inputs (N, ...), label (N,); kept (M,): the rows that pretraining sees; change: of every row, each time."""
        super().__init__(len(kept), rows, seed * 1009 + round)
        self.inputs, self.label, self.kept, self.change = inputs, label, kept, change

    def to(self, device: torch.device) -> PlainSource:
        """Return the same rows, kept and put together on a device; their order is the same on all."""
        found = copy.copy(self)
        found.inputs, found.label, found.kept = (x.to(device) for x in (self.inputs, self.label, self.kept))
        found.epoch = -1
        return found

    def batch(self, step: int) -> tuple[Tensor, Tensor, Tensor, dict[str, Tensor]]:
        """Return (row (B,), inputs (B, ...), label (B,), nothing)."""
        place = self.drawn(step, self.kept.device)
        row = self.kept[place]
        x = self.inputs[row]
        x = x if self.change is None else self.change(x, combine(self.seed, step, row))
        return place, x, self.label[row], {}

    def labels(self) -> Tensor:
        """Return all labels (M,)."""
        return self.label[self.kept]


class RowSource(Shuffled):
    """The rows of classes, some of which are others turned."""

    def __init__(self, bank: Bank, classes: Tensor, number: Tensor, place: Tensor, rows: int, seed: int) -> None:
        """number (N,): index into classes (M,), the label; place (N,): of the row within its class."""
        super().__init__(len(number), rows, seed)
        self.bank, self.classes, self.number, self.place = bank, classes, number, place

    def to(self, device: torch.device) -> RowSource:
        """Return the same rows, kept and put together on a device; their order is the same on all."""
        found = copy.copy(self)
        found.bank, found.classes = self.bank.to(device), self.classes.to(device)
        found.number, found.place, found.epoch = self.number.to(device), self.place.to(device), -1
        return found

    def batch(self, step: int) -> tuple[Tensor, Tensor, Tensor, dict[str, Tensor]]:
        """Return (row (B,), inputs (B, ...), label (B,), nothing)."""
        row = self.drawn(step, self.number.device)
        label = self.number[row]
        return row, self.bank.taken(self.classes[label], self.place[row]), label, {}

    def labels(self) -> Tensor:
        """Return all labels (N,)."""
        return self.number


class KnownRows:
    """Held-out rows as tasks of one query each, without support: the classifier that pretraining found is judged."""

    support = 0

    def __init__(self, inputs: Tensor, label: Tensor, held_out: NDArray[np.int64]) -> None:
        self.inputs, self.label, self.user = inputs, label, torch.from_numpy(held_out)

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.user)

    def batch(self, indices: Tensor) -> Task:
        """Return the tasks (T,) of these rows."""
        row = self.user[indices]
        x, y, one = self.inputs[row][:, None], self.label[row][:, None], torch.ones(len(row), 1)
        event = torch.zeros(len(row), dtype=torch.int64)
        nothing = Batch(x, torch.zeros_like(y), torch.zeros_like(one), torch.zeros_like(one), event)
        return Task({"key": torch.zeros_like(row)}, nothing, Batch(x, y, one, one, event))
