"""Labelled images one task after another: classes that come in groups, or pixels that are shuffled anew.

van de Ven, Tuytelaars and Tolias, "Three types of incremental learning", Nature Machine Intelligence 2022; Goodfellow
et al., "An empirical investigation of catastrophic forgetting", ICLR 2014 (permuted pixels).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metarun.data.images import Images
from metarun.errors import MetarunError

KINDS = ("class", "domain", "task", "permuted")
TEST_SHARE = 0.2
"""Of each class, where images have no official test part."""

Rows = NDArray[np.int64]


class Plan(NamedTuple):
    """T tasks of N rows in all, and what is asked after each of them."""

    rows: list[Rows]  # (T,) of image numbers (n,) to learn from, in order
    exams: list[Rows]  # (T,) of image numbers (m,) that are only asked about
    classes: list[Rows]  # (T,) of the classes that a task is about
    pixels: list[Rows] | None  # (T,) of orders of pixels (F,), None where they stay in place


def plan(images: Images, kind: str, size: int, tasks: int, rows: int | None, test_rows: int | None, seed: int) -> Plan:
    """Return the tasks; size: classes of a task; tasks: permutations; rows, test_rows: images of a task at most.

    Raises:
        MetarunError: classes that cannot be shared out evenly, a task without images.
    """
    train, test = parts(images, seed)
    draws = np.random.default_rng([seed, 11])
    number = len(images.classes)
    if kind == "permuted":
        width = int(np.prod(images.pixels.shape[1:]))
        pixels = [np.arange(width), *(draws.permutation(width) for _ in range(tasks - 1))]
        groups = [np.arange(number)] * tasks
    else:
        if number % size or number == size:
            raise MetarunError(
                f"dataset.size={size}: {images.name} has {number} classes, which give no tasks of {size} classes each: "
                f"use {' or '.join(str(n) for n in range(1, number) if number % n == 0)}"
            )
        pixels, groups = None, list(draws.permutation(number).reshape(-1, size))
    learned = [chosen(images, train, group, rows, draws) for group in groups]
    exams = [np.sort(chosen(images, test, group, test_rows, draws)) for group in groups]
    for name, part in (("learn from", learned), ("be asked about", exams)):
        for task, found in enumerate(part, 1):
            if not len(found):
                raise MetarunError(f"{images.name}: task {task} has no images to {name}; raise dataset.size")
    return Plan(learned, exams, groups, pixels)


def parts(images: Images, seed: int) -> tuple[Rows, Rows]:
    """Return the image numbers that are learned from and asked about: the official parts, or a share of each class."""
    if images.official:
        return images.official["train"], images.official["test"]
    draws = np.random.default_rng([seed, 12])
    test = []
    for index in range(len(images.classes)):
        rows = draws.permutation(images.rows(index))
        test.append(rows[: max(round(TEST_SHARE * len(rows)), 1)])
    kept = np.concatenate(test)
    return np.setdiff1d(np.arange(len(images.label)), kept), np.sort(kept)


def chosen(images: Images, rows: Rows, classes: Rows, most: int | None, draws: np.random.Generator) -> Rows:
    """Return images (n,) of some classes in random order, `most` of them at most."""
    own = rows[np.isin(images.label[rows], classes)]
    return draws.permutation(own)[:most]
