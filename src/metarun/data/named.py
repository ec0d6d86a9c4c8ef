"""Several named inputs in one row of bytes: each a mark of whether it is there, and behind it its own numbers."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import torch
from torch import Tensor

from metarun.hashing import below, combine, uniform

Shapes = Mapping[str, tuple[int, ...]]
THERE = 255
"""The mark of an input that is there: bytes are read as 0..1."""


def segments(shapes: Shapes) -> dict[str, slice]:
    """Return the columns of each input in a row, its mark first.

    >>> segments({"a": (2,), "b": (1, 2, 2)})
    {'a': slice(0, 3, None), 'b': slice(3, 8, None)}
    """
    found, first = {}, 0
    for name, shape in shapes.items():
        found[name] = slice(first, first + 1 + prod(shape))
        first += 1 + prod(shape)
    return found


def packed(inputs: Mapping[str, Tensor], there: Mapping[str, Tensor]) -> Tensor:
    """Return rows (N, D) uint8 of inputs (N, ...) uint8; there (N,): which rows have an input, all if not given."""
    parts = []
    for name, value in inputs.items():
        mark = there.get(name, torch.ones(len(value), dtype=torch.bool))[:, None]
        parts += [THERE * mark.to(torch.uint8), value.flatten(1) * mark]
    return torch.cat(parts, 1)


def only(x: Tensor, kept: str, shapes: Shapes) -> Tensor:
    """Return rows (N, D) in which no input but one is there."""
    found = torch.zeros_like(x)
    part = segments(shapes)[kept]
    found[:, part] = x[:, part]
    return found


def some_missing(x: Tensor, key: Tensor, share: float, shapes: Shapes) -> Tensor:
    """Return rows (N, D) of which a share lacks one of several inputs, a pure function of key (N,).

    A row never loses the only input that it has.

    Neverova et al., "ModDrop: adaptive multi-modal gesture recognition", IEEE PAMI 38(8), 2016.
    """
    lacks = uniform(combine(1, key), 0, 1) < share
    which = below(combine(2, key), torch.tensor(len(shapes), device=key.device))
    found, parts = x.clone(), segments(shapes)
    several = sum((x[:, part.start] > 0).long() for part in parts.values()) > 1
    for number, part in enumerate(parts.values()):
        found[:, part] = torch.where((lacks & several & (which == number))[:, None], 0, found[:, part])
    return found
