"""N-way K-shot episodes from labelled rows: a task is a pure function of (seed, name, index), whatever it costs.

Vinyals et al., "Matching networks for one shot learning", NIPS 2016. Shapes: T tasks, W ways, K shots.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from zlib import crc32

import torch
from torch import Tensor

from metarun.data.distortion import Change
from metarun.data.numbered import Numbered
from metarun.hashing import below, combine
from metarun.rule import Batch, Task

MIRRORED = 4
"""Added to the quarter turns of a class that is mirrored first."""


def distinct(key: Tensor, limit: Tensor, number: int) -> Tensor:
    """Return `number` different integers (..., number) in [0, limit), uniform over sets and orders, for hashes (...).

    Floyd's sampling: its cost does not grow with the limit. Bentley and Floyd, CACM 30(9), 1987.
    """
    key, limit = key + torch.zeros_like(limit), limit + torch.zeros_like(key)
    chosen = torch.empty(*key.shape, 0, dtype=torch.int64, device=key.device)
    for place in range(number):
        last = limit - number + place
        drawn = below(combine(5, key, place), last + 1)
        taken = (chosen == drawn[..., None]).any(-1)
        chosen = torch.cat([chosen, torch.where(taken, last, drawn)[..., None]], -1)
    order = combine(6, key[..., None], torch.arange(number, device=key.device)).argsort(-1)
    return chosen.gather(-1, order)


@dataclass(frozen=True)
class Bank:
    """All rows by class; a class of images may be another one turned by quarter turns."""

    inputs: Tensor  # (N, ...); images uint8 (N, channels, height, width)
    rows: Tensor  # (N,) row numbers by class
    start: Tensor  # (classes,) first place of a class in rows
    count: Tensor  # (classes,)
    turns: Tensor  # (classes,) quarter turns, 4 more where mirrored before
    descriptions: Tensor | None  # (classes, A)

    def to(self, device: torch.device) -> Bank:
        """Return the same rows on a device."""
        moved = {name: value.to(device) for name, value in vars(self).items() if value is not None}
        return Bank(**{"descriptions": None, **moved})

    def taken(self, which: Tensor, place: Tensor) -> Tensor:
        """Return rows (..., *shape) of classes (...) at places (...) among those of the class."""
        row = self.rows[self.start[which] + place]
        found = self.inputs[row]
        turned = self.turns[which]
        for turn in range(1, 2 * MIRRORED) if bool(self.turns.any()) else ():
            mine = turned == turn
            # Each image by the turn of its own class: one turn for a whole task is a known mistake.
            image = found[mine].flip(-1) if turn >= MIRRORED else found[mine]
            found[mine] = torch.rot90(image, turn % MIRRORED, (-2, -1))
        return found


class Episodes(Numbered):
    """Episodes over some classes of a bank; `batch(indices)` costs what its own images cost.

    Support row r is of class r mod W and shot r div W, so the first k * W rows are the k-shot task with the same
    queries. ways, shots: with several a task draws its own, and rows of what it does not have do not exist.
    """

    def __init__(
        self,
        bank: Bank,
        classes: Tensor,
        ways: list[int],
        shots: list[int],
        queries: int,
        *,
        outputs: int,
        number: int,
        seed: int,
        name: str,
        all_shots: bool,
        change: Change | None = None,
    ) -> None:
        """outputs: C, at least the most ways; queries: per class; all_shots: every task has the most shots.

        change: of every row, None for rows as they are.
        """
        self.bank, self.classes, self.queries, self.number = bank, classes, queries, number
        self.ways, self.shots = torch.tensor(sorted(ways)), torch.tensor(sorted(shots))
        self.most_ways, self.most_shots, self.outputs = max(ways), max(*shots, 1), outputs
        self.seed, self.name, self.all_shots, self.change = seed, crc32(name.encode()), all_shots, change

    def to(self, device: torch.device) -> Episodes:
        """Return the same episodes, put together on a device, where their numbers have to be as well."""
        found = copy.copy(self)
        found.bank, found.classes = self.bank.to(device), self.classes.to(device)
        found.ways, found.shots = self.ways.to(device), self.shots.to(device)
        return found

    def batch(self, indices: Tensor) -> Task:
        """Return the tasks (T,) with these numbers, leading axis T."""
        device, (W, K) = indices.device, (self.most_ways, self.most_shots)
        key = combine(self.seed, self.name, indices)
        way = self.ways[below(combine(1, key), torch.tensor(len(self.ways)))]
        shot = self.shots[below(combine(4, key), torch.tensor(len(self.shots)))]
        shot = torch.full_like(shot, K) if self.all_shots else shot
        number = torch.tensor(len(self.classes), device=device)
        which = self.classes[distinct(combine(2, key), number, W)]
        own = combine(3, key[:, None], torch.arange(W, device=device))
        place = distinct(own, self.bank.count[which], K + self.queries)
        there = torch.arange(W, device=device) < way[:, None]
        context = {"key": key, "classes": self.of_outputs(there.float())}
        if self.bank.descriptions is not None:
            context["descriptions"] = self.of_outputs(self.bank.descriptions[which] * there[..., None])
        given = torch.arange(K, device=device)[None, :, None] < shot[:, None, None]
        asked = torch.ones(1, self.queries, 1, dtype=torch.bool, device=device)
        return Task(
            context,
            self.rows(which, place[..., :K], given & there[:, None], combine(7, key)),
            self.rows(which, place[..., K:], asked & there[:, None], combine(8, key)),
        )

    def of_outputs(self, values: Tensor) -> Tensor:
        """Return values (T, W, ...) of the ways as values of the outputs (T, C, ...), 0 behind them."""
        missing = self.outputs - self.most_ways
        return torch.cat([values, values.new_zeros(len(values), missing, *values.shape[2:])], 1) if missing else values

    def rows(self, which: Tensor, place: Tensor, exists: Tensor, key: Tensor) -> Batch:
        """Return the batch of K rows (T, W, K) of each class, class by class within a shot; key (T,)."""
        ways, shots = place.shape[1:]
        place = place.mT.flatten(1)
        mask = exists.expand(len(place), shots, ways).flatten(1).float()
        x = self.bank.taken(which.repeat(1, shots), place)
        if self.change is not None:
            own = combine(9, key[:, None], torch.arange(ways * shots, device=place.device))
            x = self.change(x.flatten(0, 1), own.flatten()).reshape(x.shape)
        y = torch.arange(ways, device=place.device).repeat(shots).expand(len(place), -1)
        event = torch.zeros(len(place), dtype=torch.int64, device=place.device)
        return Batch(x, y.clone(), mask, mask.clone(), event)
