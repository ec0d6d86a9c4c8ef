"""Labelled rows of groups whose labels mean the same: a new hospital, speaker, patient is a task, others train."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from metarun.data.distortion import Change
from metarun.data.episodic import Episodic
from metarun.data.group_tasks import GroupTasks
from metarun.data.images.splits import PARTS, SHARES, shuffled
from metarun.data.labelled import LabelledRows, Numbers
from metarun.data.row_source import PlainSource
from metarun.data.split import hashed
from metarun.errors import MetarunError, did_you_mean
from metarun.metrics.clinical import of_two
from metarun.metrics.episodic import accuracy, log_loss
from metarun.metrics.regression import mae, mse
from metarun.model import Spec
from metarun.protocols.labels import Metric, of_one
from metarun.rule import Task

WHOLE = "all"
"""The one group of rows that are nobody's; the rows themselves are then split."""


class Grouped(Episodic):
    """Whole groups train, choose and test; where there is one group alone its rows do."""

    kind = "group"
    """What a group is, in words."""
    change: Change | None = None
    """Of every row that training sees."""

    def __init__(
        self,
        split_seed: int,
        test_group: str | None,
        supports: list[int],
        queries: int,
        train_shots: list[int] | None,
        train_queries: int | None,
        test_tasks: int,
    ) -> None:
        """test_group: the one group that tests, None for some of them; train_shots, train_queries: None as judged."""
        super().__init__(supports, queries, test_tasks, train_shots, train_queries)
        self.split_seed, self.test_group = split_seed, test_group
        self.cells, self.unit = [f"new {self.kind}"], "draws"

    def read(self) -> LabelledRows:
        """Return the rows."""
        raise NotImplementedError

    @cached_property
    def table(self) -> LabelledRows:
        """The rows, read once."""
        return self.read()

    @cached_property
    def inputs(self) -> Tensor:
        """What a model reads of the rows (N, ...)."""
        return torch.from_numpy(self.table.inputs)

    @cached_property
    def label(self) -> Tensor:
        """What is to be predicted, (N,)."""
        return torch.from_numpy(self.table.label)

    @cached_property
    def parts(self) -> dict[str, list[int]]:
        """The groups (numbers) of "train", "validation" and "test". Raises MetarunError where they are too few."""
        names = self.table.groups
        if self.test_group is not None and self.test_group not in names:
            raise MetarunError(
                f"dataset.test_group={self.test_group}: {self.table.name} has no such {self.kind}; choose "
                f"{', '.join(sorted(names)[:20])}.{did_you_mean(self.test_group, names)}"
            )
        if len(names) == 1:
            return {part: [0] for part in PARTS}
        if len(names) < len(PARTS):
            raise MetarunError(
                f"{self.table.name} has {len(names)} {self.kind}s, but one has to train, one to choose and one to test"
            )
        order = [names.index(name) for name in shuffled(names, self.split_seed) if name != self.test_group]
        if self.test_group is None:
            count = max(1, round(SHARES[2] * len(names)))
            test, order = order[:count], order[count:]
        else:
            test = [names.index(self.test_group)]
        count = max(1, round(SHARES[1] * len(names)))
        return {"train": sorted(order[count:]), "validation": sorted(order[:count]), "test": sorted(test)}

    @cached_property
    def part(self) -> Numbers:
        """Which part (N,) each row is in, an index into PARTS."""
        if len(self.table.groups) > 1:
            of_group = np.zeros(len(self.table.groups), np.int64)
            for number, part in enumerate(PARTS):
                of_group[self.parts[part]] = number
            found: Numbers = of_group[self.table.group]
            return found
        place = np.argsort(np.argsort(hashed(self.split_seed, np.arange(len(self.table.label)))))
        cut: Numbers = np.searchsorted(np.cumsum(SHARES)[:2] * len(place), place, side="right")
        return cut

    @property
    def seen(self) -> np.ndarray:
        """Which rows (N,) training may look at."""
        found: np.ndarray = self.part == 0
        return found

    @property
    def spec(self) -> Spec:
        """What the model is told; labels mean the same in every task, so the head starts where pretraining left it."""
        outputs = len(self.table.classes) or 1
        shape, classes = tuple(self.inputs.shape[1:]), len(self.table.classes)
        return Spec(outputs=outputs, shape=shape, classes=classes, task="group", shared=True)

    @property
    def setting(self) -> dict[str, object]:
        """Who tests, and the seed of the split and of the draws."""
        names = [self.table.groups[number] for number in self.parts["test"]]
        told = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        whose = {} if names == [WHOLE] else {f"test {self.kind}": told}
        return {**whose, "split_seed": self.split_seed}

    @property
    def metrics(self) -> dict[str, Metric]:
        """Of classes accuracy and log-loss, of two also what clinicians ask for; of numbers their errors."""
        if not self.table.classes:
            return {"squared_error": of_one(mse), "absolute_error": of_one(mae)}
        found: dict[str, Metric] = {"accuracy": accuracy, "log_loss": log_loss}
        return found | (of_two() if len(self.table.classes) == 2 else {})

    def describe(self) -> dict[str, object]:
        """Return the dataset as resolved, for the manifest."""
        table = self.table
        found = {"name": table.name, "synthetic": False, "checksum": table.checksum, "rows": len(table.label)}
        return found | {"classes": len(table.classes), "groups": len(table.groups)}

    def rows(self, support: int, cell: str | None = None) -> int:
        """Return how many support rows a size stands for: as many."""
        return support

    def tasks(self, split: str, cell: str | None = None) -> GroupTasks:
        """Return the fixed tasks, "validation" or "test"."""
        return self.drawn(split, self.supports, self.queries, split, self.split_seed, True, cell)

    def train_tasks(self, round: int, slices: int, seed: int) -> GroupTasks:
        """Return random tasks of the training groups, others in every round."""
        return self.drawn("train", self.train_shots, self.train_queries, f"round {round}", seed, False)

    def inputs_in(self, cell: str | None, part: str) -> Tensor:
        """Return what a model reads (N, ...) of the rows of a part under the conditions of a cell: as they are."""
        return self.inputs

    def training_task(self, indices: Tensor) -> Task:
        """Return training tasks of rows as they are, from which nothing but constants is estimated."""
        plain = self.drawn("train", self.train_shots, self.train_queries, "round 1", 0, False)
        return plain.without_change().batch(indices)

    def drawn(
        self, part: str, supports: list[int], queries: int, name: str, seed: int, fixed: bool, cell: str | None = None
    ) -> GroupTasks:
        """Return tasks of a part's groups that have enough rows. Raises MetarunError where none has."""
        need = max(supports) + queries
        members = [rows for rows in self.members(part) if len(rows) >= need]
        if not members:
            most = max((len(rows) for rows in self.members(part)), default=0)
            raise MetarunError(
                f"{max(supports)} labels and {queries} queries need {need} rows of a {self.kind}, but those of the "
                f"{part} part of {self.table.name} have {most} at most: lower dataset.supports or dataset.queries"
                + (" (dataset.train_shots, dataset.train_queries)" if part == "train" else "")
            )
        return GroupTasks(
            self.inputs_in(cell, part), self.label, members, len(self.table.classes), supports, queries,
            number=self.test_tasks, seed=seed, name=name, fixed=fixed, change=None if fixed else self.change,
        )  # fmt: skip

    def members(self, part: str) -> list[Numbers]:
        """Return the rows of each group of a part."""
        mine, number = self.part == PARTS.index(part), self.table.group
        return [np.flatnonzero(mine & (number == group)) for group in self.parts[part]]

    def left_out(self) -> list[str]:
        """Return how many groups are too small to be judged."""
        need, members = max(self.supports) + self.queries, self.members("test")
        small = sum(len(rows) < need for rows in members)
        return [f"{small} of {len(members)} test {self.kind}s have less than {need} rows: left out"] if small else []

    def source(self, rows: int, seed: int, round: int = 1) -> PlainSource:
        """Return the rows of the training groups in batches of `rows`."""
        kept = torch.from_numpy(np.flatnonzero(self.seen))
        return PlainSource(self.inputs, self.label, kept, rows, seed, round, self.change)

    def labels_used(self, rounds: int, repretrain: bool) -> int:
        """Return how many labels training may read."""
        return int(self.seen.sum())
