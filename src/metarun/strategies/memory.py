"""Rows that a stream leaves behind in a memory of fixed size, each with the same chance, or each class with its share.

Vitter, "Random sampling with a reservoir", TOMS 1985; Chrysakis and Moens, "Online continual learning from imbalanced
data", ICML 2020 (class-balanced).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

Memory = dict[str, Tensor]
Leaves = dict[str, Tensor]


def empty(rows: dict[str, tuple[tuple[int, ...], torch.dtype]], size: int, classes: int) -> Memory:
    """Return a memory of `size` rows; rows: shape and type of a row of each leaf."""
    found = {name: torch.zeros((size, *shape), dtype=kind) for name, (shape, kind) in rows.items()}
    return {**found, "filled": torch.zeros((), dtype=torch.int64), "seen": torch.zeros(classes, dtype=torch.int64)}


def draw(memory: Memory, number: int, generator: torch.Generator) -> Leaves | None:
    """Return `number` rows with replacement, None where nothing is kept yet."""
    filled = int(memory["filled"])
    if not filled:
        return None
    rows = torch.randint(filled, (number,), generator=generator)
    return {name: leaf[rows] for name, leaf in memory.items() if name not in ("filled", "seen")}


def keep(memory: Memory, rows: Leaves, label: Tensor, balanced: bool, generator: torch.Generator) -> Memory:
    """Return a memory that was shown rows (B, ...) one after another; label (B,): classes, 0 where there are none."""
    found = {name: leaf.clone() for name, leaf in memory.items()}
    chance = torch.rand(len(label), 2, generator=generator, dtype=torch.float64)
    for i, kind in enumerate(label.tolist()):
        found["seen"][kind] += 1
        place = slot(found, kind, balanced, *chance[i].tolist())
        if place is not None:
            for name, leaf in rows.items():
                found[name][place] = leaf[i]
    return found


def slot(memory: Memory, kind: int, balanced: bool, first: float, second: float) -> int | None:
    """Return where a row of a class goes, None where it is not kept; first, second: uniform numbers."""
    filled, size = int(memory["filled"]), len(memory["y"])
    if filled < size:
        memory["filled"] += 1
        return filled
    if not balanced:
        place = int(first * int(memory["seen"].sum()))
        return place if place < size else None
    held = torch.bincount(memory["y"].long(), minlength=len(memory["seen"]))
    if held[kind] < held.max():  # a class that has less takes the place of a row of one that has most
        return pick(memory, int(held.argmax()), second)
    return pick(memory, kind, second) if first < int(held[kind]) / int(memory["seen"][kind]) else None


def pick(memory: Memory, kind: int, chance: float) -> int:
    """Return the place of some row of a class."""
    places = torch.nonzero(memory["y"] == kind)[:, 0]
    return int(places[int(chance * len(places))])


def generator(*seed: Any) -> torch.Generator:
    """Return draws that depend on numbers alone, so that a run that is taken up draws the same."""
    mixed = 0
    for part in seed:
        mixed = (mixed * 1_000_003 + int(part) + 1) % (2**63)
    return torch.Generator().manual_seed(mixed)
