"""Tasks of groups: some labelled rows of one hospital, speaker or patient, and others of its rows to be asked about."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from zlib import crc32

import numpy as np
import torch
from torch import Tensor

from metarun.data.distortion import Change
from metarun.data.labelled import Numbers
from metarun.data.numbered import Numbered
from metarun.hashing import below, combine
from metarun.rule import Batch, Task

NOBODY = 1 << 40
"""Behind every hash: the place of a row that a group does not have."""


class GroupTasks(Numbered):
    """Task i is of group i modulo G, or of a group at random; a pure function of (seed, name, index).

    Queries hold the classes of the group in its own shares, each at least once, so that what is judged is the same at
    every support size; the support is drawn from the rest, so the first k rows are the task with k labels.
    """

    def __init__(
        self,
        inputs: Tensor,
        label: Tensor,
        members: Sequence[Numbers],
        classes: int,
        supports: list[int],
        queries: int,
        *,
        number: int,
        seed: int,
        name: str,
        fixed: bool,
        change: Change | None = None,
    ) -> None:
        """inputs (N, ...), label (N,); members: the rows of each group, enough of them; classes: 0 for numbers.

        fixed: groups in turn, each task with the most support; else a random group with one of `supports`.
        change: of every row, None for rows as they are.
        """
        self.inputs, self.label, self.classes, self.queries, self.number = inputs, label, classes, queries, number
        self.supports, self.most = torch.tensor(sorted(supports)), max(*supports, 1)
        self.seed, self.name, self.fixed, self.change = seed, crc32(name.encode()), fixed, change
        width = max(len(rows) for rows in members)
        self.rows = torch.stack([torch.from_numpy(np.pad(rows, (0, width - len(rows)))) for rows in members])
        self.there = torch.arange(width) < torch.tensor([len(rows) for rows in members])[:, None]
        self.quota = torch.stack([self.asked(torch.from_numpy(rows)) for rows in members])

    def asked(self, rows: Tensor) -> Tensor:
        """Return how many of the queries (classes,) are of each class of a group: in its shares, at least 1."""
        if not self.classes:
            return torch.tensor([self.queries])
        count = torch.bincount(self.label[rows], minlength=self.classes)
        share = self.queries * count / count.sum()
        quota = torch.where(count > 0, share.floor().clamp(min=1).long(), 0)
        while int(quota.sum()) < self.queries:  # what rounding left goes where most is missing
            room = torch.where(quota < count, share - quota, -torch.inf)
            quota[room.argmax()] += 1
        while int(quota.sum()) > self.queries:
            quota[(quota - share).where(quota > 1, -torch.inf).argmax()] -= 1
        return quota

    def to(self, device: torch.device) -> GroupTasks:
        """Return the same tasks, put together on a device, where their numbers have to be as well."""
        found = copy.copy(self)
        for field in ("inputs", "label", "supports", "rows", "there", "quota"):
            setattr(found, field, getattr(self, field).to(device))
        return found

    def without_change(self) -> GroupTasks:
        """Return the same tasks of rows as they are."""
        found = copy.copy(self)
        found.change = None
        return found

    def batch(self, indices: Tensor) -> Task:
        """Return the tasks (T,) with these numbers, leading axis T."""
        device, groups = indices.device, torch.tensor(len(self.rows), device=indices.device)
        key = combine(self.seed, self.name, indices)
        which = indices % groups if self.fixed else below(combine(1, key), groups)
        size = self.supports[below(combine(4, key), torch.tensor(len(self.supports), device=device))]
        size = torch.full_like(size, self.most) if self.fixed else size
        chance = combine(2, key[:, None], torch.arange(self.rows.shape[1], device=device))
        order = torch.where(self.there[which], chance, NOBODY).argsort(-1)
        rows, exists = self.rows[which].gather(1, order), self.there[which].gather(1, order)
        asked = self.drawn(rows, exists, self.quota[which])
        # A stable sort keeps the random order within what is asked about and within the rest.
        place = torch.where(exists, torch.where(asked, 0, 1), 2).argsort(dim=-1, stable=True)
        rows = rows.gather(1, place)[:, : self.queries + self.most]
        given = (torch.arange(self.most, device=device) < size[:, None]).float()
        context = {"key": key}
        if self.classes:
            context["classes"] = torch.ones(len(indices), self.classes, device=device)
        support, query = rows[:, self.queries :], rows[:, : self.queries]
        shown = torch.ones_like(query, dtype=torch.float32)
        return Task(context, self.taken(support, given, key), self.taken(query, shown, key))

    def drawn(self, rows: Tensor, exists: Tensor, quota: Tensor) -> Tensor:
        """Return which rows (T, M) are asked about: of each class as many as its quota (T, classes), the first ones."""
        kind = self.label[rows].long()[..., None] if self.classes else torch.zeros_like(rows)[..., None]
        mine = (kind == torch.arange(quota.shape[1], device=rows.device)) & exists[..., None]
        return (mine & (mine.cumsum(1) <= quota[:, None])).any(-1)

    def taken(self, rows: Tensor, mask: Tensor, key: Tensor) -> Batch:
        """Return the batch of rows (T, B); key (T,)."""
        x = self.inputs[rows]
        if self.change is not None:
            x = self.change(x.flatten(0, 1), combine(3, key[:, None], rows).flatten()).reshape(x.shape)
        event = torch.zeros(len(rows), dtype=torch.int64, device=rows.device)
        return Batch(x, self.label[rows], mask, mask.clone(), event)
