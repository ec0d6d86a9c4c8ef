"""Labelled rows seen two ways: rows to pretrain on, N-way K-shot episodes of classes that training never saw."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metarun.data.distortion import Change
from metarun.data.episodes import Bank, Episodes
from metarun.data.episodic import Episodic
from metarun.data.images.shares import places, share
from metarun.data.images.splits import SHARES, class_split
from metarun.data.row_source import KnownRows, RowSource
from metarun.data.split import hashed
from metarun.errors import MetarunError
from metarun.metrics.episodic import accuracy, log_loss
from metarun.model import Spec
from metarun.pretraining.probing import Labelled
from metarun.protocols.labels import Metric

HELD_OUT = 0.2
LABELLED = (5, 1000)
"""Rows of each class that a probe of features is fitted on while they are trained, and how many it is asked about."""


class FewShot(Episodic):
    """Classes are split into training, validation and test; with split="rows" (see `row`) the rows of each."""

    shares: Sequence[float] = SHARES
    """Of the classes, for training, validation and test under split=seeded."""

    fewer = "lower it, or choose another dataset.split"
    row = "row"
    turns: Sequence[int] = (0,)
    """What makes another class of a class, see `Bank`."""
    change: Change | None = None
    """Of every row of training episodes."""

    def __init__(
        self,
        split: str,
        split_seed: int,
        ways: list[int],
        supports: list[int],
        queries: int,
        train_ways: list[int] | None,
        train_shots: list[int] | None,
        train_queries: int | None,
        test_tasks: int,
        label_share: float = 1.0,
    ) -> None:
        """train_ways, train_shots, train_queries: of training, None for those that are judged.

        label_share: of the rows of every class that are not held out, those with a label; pretraining sees no others,
        in as many steps as for all.
        """
        super().__init__(supports, queries, test_tasks, train_shots, train_queries)
        self.split, self.split_seed, self.label_share = split, split_seed, label_share
        self.by_rows = split == f"{self.row}s"
        self.ways = list(dict.fromkeys(ways))
        self.train_ways = sorted(set(train_ways or ways))
        self.cells = [] if self.by_rows else [f"{way}-way" for way in self.ways]
        self.cold = bool(self.cells)
        self.unit = "episodes" if self.cold else split

    def read(self) -> Any:
        """Return the rows, `LabelledRows` or `Images`."""
        raise NotImplementedError

    @cached_property
    def table(self) -> Any:
        """The rows, read once."""
        return self.read()

    @cached_property
    def inputs(self) -> Tensor:
        """What a model reads of the rows (N, ...)."""
        return torch.from_numpy(self.table.inputs)

    @cached_property
    def parts(self) -> dict[str, list[int]]:
        """The classes (numbers) of "train", "validation" and "test"; all train where rows are held out."""
        if self.by_rows:
            return {"train": list(range(len(self.table.classes))), "validation": [], "test": []}
        return self.class_split()

    def class_split(self) -> dict[str, list[int]]:
        """Return the classes (numbers) of each part."""
        return class_split(self.table, self.split, self.split_seed, self.shares)

    @cached_property
    def seen(self) -> np.ndarray:
        """Which rows (N,) training may look at: those of training classes, or a share of those not held out."""
        if self.by_rows:
            return share(self.table.label, ~self.held_out, self.label_share, self.split_seed)
        return np.isin(self.table.label, self.parts["train"])

    @cached_property
    def bank(self) -> Bank:
        """The rows by class; class c under the r-th of `turns` is number r * classes + c."""
        label = self.table.label
        order = np.argsort(label, kind="stable")
        count = np.bincount(label, minlength=len(self.table.classes))
        start, again = np.cumsum(count) - count, len(self.turns)
        known = self.table.descriptions
        described = None
        if known is not None:
            turned = (
                np.repeat(np.eye(again, dtype=np.float32), len(count), 0) if again > 1 else np.zeros((len(count), 0))
            )
            described = torch.from_numpy(np.hstack([np.tile(known, (again, 1)), turned]).astype(np.float32))
        return Bank(
            self.inputs,
            torch.from_numpy(order),
            torch.from_numpy(np.tile(start, again)),
            torch.from_numpy(np.tile(count, again)),
            torch.tensor(self.turns).repeat_interleave(len(count)),
            described,
        )

    def classes(self, part: str) -> Tensor:
        """Return the class numbers of a part, turned ones included."""
        known = torch.tensor(self.parts[part], dtype=torch.int64)
        places = [place for place, turn in enumerate(self.turns) if turn in self.turned(part)]
        return torch.cat([known + place * len(self.table.classes) for place in places])

    def turned(self, part: str) -> set[int]:
        """Return those of `turns` that classes of a part are there under."""
        return set(self.turns)

    @cached_property
    def trained(self) -> Tensor:
        """The class numbers that training sees."""
        return self.classes("train")

    @cached_property
    def spec(self) -> Spec:
        """What the model is told: the shape of a row, the most ways, the classes to pretrain on."""
        described = self.bank.descriptions
        return Spec(
            outputs=max(*self.ways, *self.train_ways),
            shape=tuple(self.inputs.shape[1:]),
            classes=len(self.trained),
            descriptions=0 if described is None else described.shape[1],
            task="episode",
        )

    @property
    def setting(self) -> dict[str, object]:
        """The split and its seed, and how many of the labels there are where it is not all."""
        few = {"label_share": self.label_share} if self.label_share < 1 else {}
        return {"split": self.split, "split_seed": self.split_seed, **few}

    @property
    def metrics(self) -> dict[str, Metric]:
        """Accuracy and log-loss."""
        return {"accuracy": accuracy, "log_loss": log_loss}

    def describe(self) -> dict[str, object]:
        """Return the dataset as resolved, for the manifest."""
        return {
            "name": self.table.name,
            "synthetic": False,
            "checksum": self.table.checksum,
            f"{self.row}s": len(self.table.label),
            "classes": len(self.table.classes),
        }

    def rows(self, support: int, cell: str | None = None) -> int:
        """Return how many support rows so many shots are."""
        return support * self.way(cell)

    def way(self, cell: str | None) -> int:
        """Return the ways of a cell (the first if None)."""
        return self.ways[self.cells.index(cell)] if cell else self.ways[0]

    def tasks(self, split: str, cell: str | None = None) -> Episodes:
        """Return the fixed episodes of a cell (the first if None), "validation" or "test"."""
        way = self.way(cell)
        return self.episodes(split, [way], self.supports, self.queries, f"{split} {way}-way", self.split_seed, True)

    def train_tasks(self, round: int, slices: int, seed: int) -> Episodes:
        """Return random episodes of the training classes, others in every round."""
        return self.episodes(
            "train", self.train_ways, self.train_shots, self.train_queries, f"round {round}", seed, False
        )

    def episodes(
        self, part: str, ways: list[int], shots: list[int], queries: int, name: str, seed: int, fixed: bool
    ) -> Episodes:
        """Return episodes of a part; raises MetarunError where it has too few classes, or a class too few rows."""
        classes, need = self.classes(part), max(shots) + queries
        key = "train_ways" if part == "train" else "ways"
        if len(classes) < max(ways):
            raise MetarunError(
                f"dataset.{key}={max(ways)}: {self.table.name} (split {self.split}, seed {self.split_seed}) has "
                f"{len(classes)} classes in its {part} part; {self.fewer}"
            )
        fewest = classes[self.bank.count[classes].argmin()]
        if int(self.bank.count[fewest]) < need:
            name_of = self.table.classes[int(fewest) % len(self.table.classes)]
            raise MetarunError(
                f"{max(shots)} shots and {queries} queries need {need} {self.row}s of a class, but '{name_of}' of "
                f"{self.table.name} has {int(self.bank.count[fewest])}: lower dataset.supports or dataset.queries"
                + (" (dataset.train_shots, dataset.train_queries)" if part == "train" else "")
            )
        return Episodes(
            self.bank, classes, ways, shots, queries,
            outputs=self.spec.outputs, number=self.test_tasks, seed=seed, name=name, all_shots=fixed,
            change=self.change if part == "train" else None,
        )  # fmt: skip

    @cached_property
    def held_out(self) -> np.ndarray:
        """Which rows (N,) are held out where classes are not split: the official ones, else a fifth of each class."""
        if "test" in self.table.official:
            found = np.zeros(len(self.table.label), bool)
            found[self.table.official["test"]] = True
            return found
        label = self.table.label
        count = np.bincount(label, minlength=len(self.table.classes))
        place = places(label, hashed(self.split_seed, np.arange(len(label))))
        picked: np.ndarray = place < np.floor(HELD_OUT * count)[label]
        return picked

    def source(self, rows: int, seed: int, round: int = 1) -> RowSource:
        """Return the rows of the training classes, less what is held out, in batches of `rows`."""
        bank, trained = self.bank, self.trained
        number = torch.repeat_interleave(torch.arange(len(trained)), bank.count[trained])
        place = torch.cat([torch.arange(int(count)) for count in bank.count[trained]])
        if self.by_rows:
            row = bank.rows[bank.start[trained][number] + place]
            kept = torch.from_numpy(self.seen)[row].nonzero()[:, 0]
            # An epoch is as long whatever the share: a curve over shares is about labels, not about steps.
            kept = kept[torch.arange(int((~self.held_out).sum())) % len(kept)]
            number, place = number[kept], place[kept]
        return RowSource(bank, trained, number, place, rows, seed * 1009 + round)

    def labelled(self) -> Labelled | None:
        """Return rows of the validation classes, as they are: a few of each to fit on, and others to be right about.

        None where classes are not split, for then pretraining has seen all that is not for testing.
        """
        if not self.parts["validation"]:
            return None
        label = self.table.label
        rows = np.flatnonzero(np.isin(label, self.parts["validation"]))
        rows = rows[np.argsort(hashed(self.split_seed, rows), kind="stable")]
        number = np.unique(label[rows], return_inverse=True)[1]
        shots, most = LABELLED
        first = np.concatenate([np.flatnonzero(number == kind)[:shots] for kind in range(int(number.max()) + 1)])
        other = np.setdiff1d(np.arange(len(rows)), first)[:most]
        x, y = self.inputs, torch.from_numpy(number)
        return Labelled(x[rows[first]], y[first], x[rows[other]], y[other])

    def warm_tasks(self, choose: bool = False) -> KnownRows | None:
        """Return the held-out rows of known classes; None where the split is by classes."""
        if not self.by_rows:
            return None
        return KnownRows(self.inputs, torch.from_numpy(self.table.label), np.flatnonzero(self.held_out))

    def labels_used(self, rounds: int, repretrain: bool) -> int:
        """Return how many labelled rows training may read, turned ones counted once."""
        return int(self.seen.sum())
