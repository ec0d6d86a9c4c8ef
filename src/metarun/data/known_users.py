"""Known users and what was withheld of them: lists are made from all their source rows."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metarun.data.split import SOURCE, Segments
from metarun.data.tasks_of_users import Columns
from metarun.rule import Task

ROWS = 2**16


class KnownUsers:
    """Support: all source rows of a user; query: all rows of one role; seen: every row of the roles given.

    Users come in the order of their numbers of rows, so that a batch pads little.
    """

    def __init__(self, columns: Columns, segments: Segments, asked: int, seen: tuple[int, ...]) -> None:
        self.columns, self.places = columns, torch.from_numpy(segments.order)
        users = np.intersect1d(segments.user[segments.role == SOURCE], segments.user[segments.role == asked])
        known = part_of(segments, users, SOURCE)
        by_length = np.argsort(known[1], kind="stable")
        self.user = torch.from_numpy(users[by_length]).long()
        self.known, self.asked, *self.seen_parts = (
            tuple(torch.from_numpy(column[by_length]) for column in part_of(segments, users, role))
            for role in (SOURCE, asked, *seen)
        )
        self.support = int(self.known[1].max()) if len(users) else 0

    def __len__(self) -> int:
        """Number of users."""
        return len(self.user)

    def chunks(self) -> list[Tensor]:
        """Return the users in batches of about as many rows each, padding counted: what bounds the memory."""
        cuts, first = [0], 0
        for i, length in enumerate(self.known[1].tolist()):
            if (i + 1 - first) * length > ROWS and i > first:
                cuts.append(first := i)
        return [torch.arange(a, b) for a, b in pairwise([*cuts, len(self)])]

    def batch(self, indices: Tensor) -> Task:
        """Return the tasks (T,) of these users, padded to the longest."""
        context = self.columns.context(self.user[indices])
        return Task(context, *(self.columns.rows(*laid_out(part, indices)) for part in (self.known, self.asked)))

    def seen(self, indices: Tensor) -> Tensor:
        """Return (pairs, 2) task and item of everything that these users have seen."""
        found = []
        for part in self.seen_parts:
            place, exists = laid_out(part, indices)
            task, _ = exists.nonzero(as_tuple=True)
            found.append(torch.stack([task, self.columns.item[self.places[place[exists]].long()].long()], 1))
        return torch.cat(found)


def part_of(segments: Segments, users: NDArray[np.int32], role: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return first place and number of the rows that users (ascending) have in a role, 0 and 0 where none."""
    of_role = np.flatnonzero(segments.role == role)
    start, count = np.zeros(len(users), np.int64), np.zeros(len(users), np.int64)
    _, ours, theirs = np.intersect1d(users, segments.user[of_role], return_indices=True)
    start[ours], count[ours] = segments.start[of_role[theirs]], segments.count[of_role[theirs]]
    return start, count


def laid_out(part: tuple[Tensor, ...], indices: Tensor) -> tuple[Tensor, Tensor]:
    """Return places (T, B) and which of them exist, for segments of unequal length."""
    start, count = part[0][indices, None], part[1][indices, None]
    place = torch.arange(max(1, int(count.max())))
    return start + place, place < count
