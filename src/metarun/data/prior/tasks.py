"""The prior: an endless supply of small tables, each a pure function of (seed, split, index).

Müller et al., "Transformers can do Bayesian inference", ICLR 2022; Hollmann et al., "TabPFN", ICLR 2023.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metarun.data.numbered import Numbered
from metarun.data.prior import labels
from metarun.data.prior.draws import Array, Draws
from metarun.data.prior.inputs import causes, distorted, inputs
from metarun.data.prior.targets import scores
from metarun.rule import Batch, Task

Made = tuple[Array, Any, Array]


@dataclass(frozen=True)
class Limits:
    """The largest task; most tasks are smaller."""

    support: int
    query: int
    features: int
    classes: int  # 0: regression


class PriorTasks(Numbered):
    """Generated tasks; every `block` of consecutive tasks has one size, so that a block is a batch without padding."""

    def __init__(
        self, limits: Limits, seed: int, split: str, number: int,
        *, block: int = 64, rows: int = 0, least: tuple[int, int] = (1, 0),
    ) -> None:  # fmt: skip
        """rows: of every support, 0: of all sizes up to the limit; least: features and classes to pad batches to."""
        self.limits, self.number, self.block, self.support, self.least = limits, number, block, rows, least
        self.seed = (crc32(split.encode()) << 32) | (seed & 0xFFFFFFFF)
        self.device = torch.device("cpu")

    def to(self, device: torch.device) -> PriorTasks:
        """Return these tasks, to be put on a device."""
        found = copy.copy(self)
        found.device = device
        return found

    def size(self, block: int) -> tuple[int, int, int]:
        """Return (support, features, classes) of a block: mostly small, now and then up to the limits."""
        low = np.array([2, 1, 2 if self.limits.classes else 0])
        high = np.array([self.limits.support, self.limits.features, self.limits.classes])
        u = np.random.Generator(np.random.Philox(key=(self.seed ^ 0x5A5A, block))).random(3) ** (1.0, 1.0, 1.8)
        drawn = np.floor(low * ((high + 0.99) / np.maximum(low, 1)) ** u)
        rows, features, classes = np.minimum(drawn, high).astype(int)
        return self.support or int(max(rows, classes)), int(features), int(classes)

    def batch(self, indices: Tensor) -> Task:
        """Return tasks (T, ...); support rows start with one of each class, padding is at the end."""
        places = indices.cpu().numpy().astype(np.int64)
        parts = []
        for block in np.unique(places // self.block):
            where = np.flatnonzero(places // self.block == block)
            parts.append((where, self.made(places[where], *self.size(int(block)))))
        return joined(places, parts, self.limits, self.least, self.device)

    def made(self, indices: NDArray[np.int64], rows: int, features: int, classes: int) -> Made:
        """Return x (T, B, D), y (T, B) and classes (T, C) of tasks of one size, B being support then query."""
        draws = Draws(self.seed, indices)
        total = rows + self.limits.query
        nodes = causes(draws, total)
        x = inputs(draws, nodes, features)
        measured = distorted(draws, x)
        plain = draws.chance(0.5, 1, 1) > 0
        score = scores(draws, np.where(plain, measured, x), nodes, max(classes, 1))
        score = labels.noise(draws, score)
        if not classes:
            return measured, labels.skewed(draws, score[..., 0]), np.zeros((len(indices), 0), np.float32)
        ways = np.full(len(indices), classes)
        share = labels.proportions(draws, ways, classes)
        moved, y_cloud = labels.clouds(draws, x, share)
        kind = draws.uniform(1)
        y = np.where(kind < 0.35, labels.largest(draws, score, ways), labels.bands(draws, score[..., 0], share))
        y = np.where(kind < 0.6, y, y_cloud)
        moved = distorted(draws, moved)
        x = np.where(kind[..., None] < 0.6, measured, moved)
        y = labels.noisy(draws, y, ways)
        return arranged(x, y, classes)


def arranged(x: Array, y: labels.Labels, classes: int) -> Made:
    """Return the task with one row of each class first, the rest in the order drawn, and the classes there are."""
    first = np.zeros(y.shape, bool)
    there = np.zeros((len(y), classes), np.float32)
    for c in range(classes):
        own = y == c
        there[:, c] = own.any(1)
        first |= own & (own.cumsum(1) == 1)
    order = np.argsort(~first, 1, kind="stable")
    return np.take_along_axis(x, order[..., None], 1), np.take_along_axis(y, order, 1), there


def joined(
    places: NDArray[np.int64], parts: list[tuple[NDArray[np.int64], Made]], limits: Limits,
    least: tuple[int, int], device: torch.device,
) -> Task:  # fmt: skip
    """Return tasks of several sizes as one batch, padded to the largest of them and to `least`."""
    query = limits.query
    support = max(x.shape[1] for _, (x, _, _) in parts) - query
    features = max(least[0], *(x.shape[2] for _, (x, _, _) in parts))
    ways = max(least[1], *(there.shape[1] for _, (_, _, there) in parts))
    number = len(places)
    x = torch.zeros(number, support + query, features)
    y = torch.zeros(number, support + query, dtype=torch.int64 if limits.classes else torch.float32)
    mask = torch.zeros(number, support + query)
    there = torch.zeros(number, ways)
    for where, part_made in parts:
        x_part, y_part, there_part = (torch.from_numpy(np.ascontiguousarray(leaf)) for leaf in part_made)
        rows, chosen = x_part.shape[1] - query, torch.from_numpy(where)
        x[chosen, :rows, : x_part.shape[2]], x[chosen, support:, : x_part.shape[2]] = x_part[:, :rows], x_part[:, rows:]
        y[chosen, :rows], y[chosen, support:] = y_part[:, :rows].to(y.dtype), y_part[:, rows:].to(y.dtype)
        mask[chosen, :rows], mask[chosen, support:] = 1, 1
        there[chosen, : there_part.shape[1]] = there_part
    x, y, mask, there = (leaf.to(device) for leaf in (x, y, mask, there))
    event = torch.zeros(number, dtype=torch.int64, device=device)

    def part(rows: slice) -> Batch:
        return Batch(x[:, rows], y[:, rows], mask[:, rows], mask[:, rows], event)

    context = {"key": torch.from_numpy(places).to(device)}
    if limits.classes:
        context["classes"] = there
    return Task(context, part(slice(0, support)), part(slice(support, None)))
