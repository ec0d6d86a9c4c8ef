"""Sine waves as tasks: amplitude, phase and, under one of the two protocols, frequency differ between tasks."""

from __future__ import annotations

import copy
from math import pi
from zlib import crc32

import torch
from torch import Tensor

from metarun.data.numbered import Numbered
from metarun.hashing import combine, uniform
from metarun.rule import Batch, Task

PROTOCOLS = {"finn": ((0.1, 5.0), (0.0, pi), (1.0, 1.0)), "metasgd": ((0.1, 5.0), (0.0, pi), (0.8, 1.2))}
"""Ranges of amplitude, phase and frequency: Finn, Abbeel and Levine, ICML 2017; Li et al., "Meta-SGD", 2017."""

SIGNS = {"finn": -1.0, "metasgd": 1.0}
"""With which the phase counts."""

INPUTS = (-5.0, 5.0)


class SinusoidTasks(Numbered):
    """y = amplitude * sin(frequency * x -+ phase), x uniform in [-5, 5]; `batch` is pure in (seed, name, index)."""

    def __init__(
        self, protocol: str, shots: list[int], queries: int, *, number: int, seed: int, name: str, all_shots: bool
    ) -> None:
        """shots: rows of the support; a task draws its own unless all_shots."""
        self.ranges, self.sign, self.queries, self.number = PROTOCOLS[protocol], SIGNS[protocol], queries, number
        self.shots, self.most = torch.tensor(sorted(shots)), max(*shots, 1)
        self.seed, self.name, self.all_shots = seed, crc32(name.encode()), all_shots

    def to(self, device: torch.device) -> SinusoidTasks:
        """Return the same tasks, put together on a device, where their numbers have to be as well."""
        found = copy.copy(self)
        found.shots = self.shots.to(device)
        return found

    def batch(self, indices: Tensor) -> Task:
        """Return the tasks (T,) with these numbers, leading axis T."""
        device = indices.device
        key = combine(self.seed, self.name, indices)
        amplitude, phase, frequency = (uniform(combine(i, key), *self.ranges[i])[:, None] for i in range(3))
        row = torch.arange(self.most + self.queries, device=device)
        x = uniform(combine(3, key[:, None], row), *INPUTS)
        y = amplitude * torch.sin(frequency * x + self.sign * phase)
        shot = self.shots[combine(4, key) % len(self.shots)][:, None]
        exists = (row < shot) | (row >= self.most) | torch.tensor(self.all_shots, device=device)

        def part(rows: slice) -> Batch:
            mask = exists[:, rows].float()
            event = torch.zeros(len(indices), dtype=torch.int64, device=device)
            return Batch(x[:, rows, None], y[:, rows], mask, mask.clone(), event)

        return Task({"key": key}, part(slice(0, self.most)), part(slice(self.most, None)))
