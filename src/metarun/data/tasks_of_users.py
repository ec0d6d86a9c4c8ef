"""Users as tasks: which of a user's ratings are support and which are query."""

from __future__ import annotations

import copy
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metarun.data.ratings import Ratings
from metarun.data.split import Segments
from metarun.hashing import below, combine, mix
from metarun.rule import Batch, Task

T = TypeVar("T", "Columns", "UserTasks")


def moved(holder: T, device: torch.device) -> T:
    """Return a copy whose tensors are on a device."""
    found = copy.copy(holder)
    for name, value in vars(found).items():
        if isinstance(value, Tensor):
            setattr(found, name, value.to(device))
    return found


def primes(above: int, count: int) -> Tensor:
    """Return `count` primes greater than `above` (int64)."""
    found: list[int] = []
    candidate = max(above, 2) | 1
    while len(found) < count:
        candidate += 2
        if all(candidate % d for d in range(3, int(candidate**0.5) + 1, 2)):
            found.append(candidate)
    return torch.tensor(found)


class Columns:
    """The ratings as tensors that share memory with the columns, and the segments they are read through."""

    def __init__(self, ratings: Ratings, segments: Segments, negatives: int = 0) -> None:
        """negatives: items drawn at random for each row, which are ranked against its own; 0 for ratings."""
        self.negatives, self.items = negatives, torch.tensor(ratings.n_items)
        self.item, self.value = torch.from_numpy(ratings.item), torch.from_numpy(ratings.value)
        self.order = torch.from_numpy(segments.order)
        self.user_features = torch.from_numpy(ratings.user_features)
        self.offsets = torch.from_numpy(ratings.offsets)

    def to(self, device: torch.device) -> Columns:
        """Return the same ratings on a device."""
        return moved(self, device)

    def rows(self, place: Tensor, mask: Tensor, key: Tensor | None = None) -> Batch:
        """Return the batch of the rows at places in the order (T, B); masked places read row 0.

        key: of the tasks (T,), from which the items that rows are ranked against follow; None draws none.
        """
        row = self.order[torch.where(mask, place, 0)].long()
        exists, device = mask.float(), place.device
        x = {"item": self.item[row].long()}
        if self.negatives and key is not None:
            salt = torch.arange(1, self.negatives + 1, device=device) * 0x9E3779B1
            drawn = combine(5, key[:, None], row)[..., None] + salt
            x["others"] = below(mix(drawn), self.items)
        event = torch.zeros(place.shape[:-1], dtype=torch.int64, device=device)
        return Batch(x, self.value[row], exists, exists, event)

    def context(self, user: Tensor) -> dict[str, Tensor]:
        """Return what is known about users (T,) before any rating."""
        return {"key": user, "features": self.user_features[user]}

    def unasked(self, user: Tensor, query: Batch) -> Tensor:
        """Return (pairs, 2) task and item of all rows of users (T,), whatever their role, but those of the query.

        What a user rated beside support and query would count against a list that names it.
        """
        start, count = self.offsets[user], self.offsets[user + 1] - self.offsets[user]
        task, place = (torch.arange(int(count.max())) < count[:, None]).nonzero(as_tuple=True)
        item = self.item[start[task] + place].long()
        asking, column = query.mask.nonzero(as_tuple=True)
        asked = asking * self.items + query.x["item"][asking, column]
        return torch.stack([task, item], 1)[~torch.isin(task * self.items + item, asked)]


class UserTasks:
    """Tasks over the segments of some users: `batch(indices)` is a pure function of (seed, name, indices).

    `random=True`: task i is a random user with random rows and a support size drawn from `supports`. Otherwise task i
    is user i with the first rows of the segment's order, so every support size has the same users and queries.
    Its cost is that of the rows asked for, however many ratings there are.
    """

    def __init__(
        self,
        columns: Columns,
        segments: Segments,
        chosen: NDArray[np.int64],
        supports: list[int],
        queries: int,
        *,
        seed: int = 0,
        name: int = 0,
        random: bool = False,
        by_time: bool = False,
    ) -> None:
        self.columns, self.supports, self.queries = columns, torch.tensor(sorted(supports)), queries
        self.largest = max(supports)
        self.random, self.by_time, self.seed, self.name = random, by_time, seed, name
        self.user = torch.from_numpy(segments.user[chosen]).long()
        self.start = torch.from_numpy(segments.start[chosen])
        self.count = torch.from_numpy(segments.count[chosen])
        self.strides = primes(int(self.count.max()) if len(chosen) else 1, 256)

    def __len__(self) -> int:
        """Number of users."""
        return len(self.user)

    def to(self, device: torch.device) -> UserTasks:
        """Return the same tasks, put together on a device, where their numbers have to be as well."""
        found = moved(self, device)
        found.columns = self.columns.to(device)
        return found

    def batch(self, indices: Tensor) -> Task:
        """Return the tasks (T,) with these numbers, leading axis T; on a GPU the host waits for nothing."""
        largest, device = self.largest, indices.device
        key = combine(self.seed, self.name, indices)
        which = below(combine(1, key), torch.tensor(len(self))) if self.random else indices
        count, start = self.count[which][:, None], self.start[which][:, None]
        total = count.clamp(max=largest + self.queries)
        spare = torch.maximum(total.div(2, rounding_mode="floor"), total - largest) if self.random else total
        query = spare.clamp(max=self.queries)
        place = torch.arange(largest + self.queries, device=device)[None].expand(len(indices), -1)
        size = torch.full_like(query, largest)
        if self.random:
            stride = self.strides[below(combine(2, key), torch.tensor(len(self.strides)))][:, None]
            place = (below(combine(3, key)[:, None], count) + stride * place) % count
            if self.by_time:
                inside = torch.arange(place.shape[1], device=device) < total
                place = torch.where(inside, place, count).sort(-1).values
            size = self.supports[below(combine(4, key), torch.tensor(len(self.supports)))][:, None]
        support, queries = torch.arange(largest, device=device), torch.arange(self.queries, device=device)
        asked = total - query + queries
        chosen = place.gather(1, asked.clamp(max=place.shape[1] - 1))
        return Task(
            self.columns.context(self.user[which]),
            self.columns.rows(start + place[:, :largest], support < torch.minimum(size, total - query), key),
            self.columns.rows(start + chosen, queries < query, key),
        )

    def seen(self, indices: Tensor) -> Tensor:
        """Return (pairs, 2) task and item of what is no candidate for lists; of fixed tasks."""
        return self.columns.unasked(self.user[indices], self.batch(indices).query)


class PairedTasks:
    """Users with rows of two kinds: the support is of the one, the query of the other.

    Known users are asked about what was withheld from pretraining, new users about items that are new as well.
    """

    def __init__(
        self,
        columns: Columns,
        segments: Segments,
        known: NDArray[np.int64],
        asked: NDArray[np.int64],
        support: int,
        queries: int | None = None,
    ) -> None:
        """known, asked: segments (T,) of the same users; queries: the most rows asked about, None for all."""
        self.columns, self.support = columns, support
        self.user = torch.from_numpy(segments.user[known]).long()
        self.start, self.count = (torch.from_numpy(a[known]) for a in (segments.start, segments.count))
        self.asked, self.asked_count = (torch.from_numpy(a[asked]) for a in (segments.start, segments.count))
        if queries is not None:
            self.asked_count = self.asked_count.clamp(max=queries)

    def __len__(self) -> int:
        """Number of users."""
        return len(self.user)

    def batch(self, indices: Tensor) -> Task:
        """Return the tasks (T,) of these users, queries padded to the longest."""
        widest = int(self.asked_count[indices].max())
        support, query, key = torch.arange(self.support), torch.arange(widest), self.user[indices]
        return Task(
            self.columns.context(key),
            self.columns.rows(self.start[indices, None] + support, support < self.count[indices, None], key),
            self.columns.rows(self.asked[indices, None] + query, query < self.asked_count[indices, None], key),
        )

    def seen(self, indices: Tensor) -> Tensor:
        """Return (pairs, 2) task and item of what is no candidate for lists."""
        return self.columns.unasked(self.user[indices], self.batch(indices).query)
