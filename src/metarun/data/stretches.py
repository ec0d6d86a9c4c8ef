"""Stretches of a stream as tasks: adapt on some rows, be asked about those that follow."""

from __future__ import annotations

import copy
from zlib import crc32

import torch
from torch import Tensor

from metarun.data.numbered import Numbered
from metarun.hashing import below, combine
from metarun.rule import Batch, Task


class Stretches(Numbered):
    """Stretches of rows [first, last); `batch(indices)` is a pure function of (seed, name, index).

    Support row r is the r-th before the query, so the first k rows are those that lie next to it. Fixed stretches lie
    evenly over the part and have the most support rows. Rows without a label are there, unknown.
    """

    def __init__(
        self,
        x: Tensor,
        y: Tensor,
        first: int,
        last: int,
        supports: list[int],
        queries: int,
        *,
        number: int,
        seed: int,
        name: str,
        fixed: bool,
    ) -> None:
        """x (N, F), y (N,): the whole stream."""
        self.x, self.y, self.first, self.queries, self.number = x, y, first, queries, number
        self.supports, self.most = torch.tensor(sorted(supports)), max(*supports, 1)
        self.places = last - first - self.most - queries + 1
        self.seed, self.name, self.fixed = seed, crc32(name.encode()), fixed

    def to(self, device: torch.device) -> Stretches:
        """Return the same stretches, put together on a device, where their numbers have to be as well."""
        found = copy.copy(self)
        found.x, found.y, found.supports = self.x.to(device), self.y.to(device), self.supports.to(device)
        return found

    def batch(self, indices: Tensor) -> Task:
        """Return the tasks (T,) with these numbers, leading axis T."""
        key = combine(self.seed, self.name, indices)
        if self.fixed:
            start = indices * (self.places - 1) // max(self.number - 1, 1)
        else:
            start = below(combine(1, key), torch.full_like(indices, self.places))
        number = below(combine(2, key), torch.full_like(indices, len(self.supports)))
        support = torch.full_like(indices, self.most) if self.fixed else self.supports[number]
        place = torch.arange(self.most, device=indices.device)
        asked = self.most + torch.arange(self.queries, device=indices.device)
        row = self.first + start[:, None] + torch.cat([place.flip(0), asked])
        x, y = self.x[row], self.y[row]
        there = torch.cat([place < support[:, None], torch.ones_like(y[:, self.most :], dtype=torch.bool)], 1)
        known = there & ((y >= 0) if not y.is_floating_point() else ~y.isnan())
        event = torch.zeros(len(indices), dtype=torch.int64, device=indices.device)

        def part(rows: slice) -> Batch:
            return Batch(x[:, rows], y[:, rows], there[:, rows].float(), known[:, rows].float(), event)

        return Task({"key": key}, part(slice(0, self.most)), part(slice(self.most, None)))
