"""What `metarun data check` says of images: what a run would see, and whether its episodes fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from metarun.data.few_shot_images import IMAGES, FewShotImages
from metarun.data.images.splits import PARTS, class_split

CHANNELS = {1: "grey", 3: "colour"}


def contents(data: FewShotImages) -> list[str]:
    """Return lines about the images themselves."""
    images = data.images
    channels, height, width = images.pixels.shape[1:]
    counts = np.bincount(images.label)
    fewest = images.classes[int(counts.argmin())]
    each = f"{counts.min():,} images each"
    if counts.min() < counts.max():
        each = f"{counts.min():,} ({fewest}) to {counts.max():,} images each"
    told = images.descriptions
    return [
        f"images: {len(images.label):,} of {width} x {height} pixels, {CHANNELS[channels]}",
        f"classes: {len(images.classes):,}, {each}",
        *([] if told is None else [f"descriptions: {told.shape[1]} attributes of every class"]),
        f"sha256 of the images: {images.checksum}",
    ]


def splits(data: FewShotImages, names: Sequence[str]) -> list[str]:
    """Return a line about each split: the classes of its parts, or the images that are held out."""
    return [_held_out(data) if name == IMAGES else _classes(data, name) for name in names]


def _classes(data: FewShotImages, split: str) -> str:
    parts = class_split(data.images, split, data.split_seed, data.shares)
    words = [f"{len(classes):,} {part}" for part, classes in parts.items()]
    seed = f" (seed {data.split_seed})" if split == "seeded" else ""
    return f"dataset.split={split}{seed}: {', '.join(words)} classes{_turned(data)}"


def _held_out(data: FewShotImages) -> str:
    held, all_images = int(data.held_out.sum()), len(data.held_out)
    whose = "the official test images" if data.images.official else f"by a hash, seed {data.split_seed}"
    few = f", {int(data.seen.sum()):,} of them with a label" if data.label_share < 1 else ""
    return f"dataset.split={IMAGES}: {all_images - held:,} images train{few}, {held:,} are held out ({whose})"


def _turned(data: FewShotImages) -> str:
    again = len(data.rotations)
    return f", each at {again} angles, so {again} times as many" if again > 1 else ""


def fitting(data: FewShotImages) -> Iterator[str]:
    """Yield lines about the split of a run and its episodes.

    Raises:
        MetarunError: what the run would raise, where its episodes do not fit.
    """
    if data.split == IMAGES:
        yield _held_out(data)
        return
    yield _classes(data, data.split)
    for part in PARTS:
        yield f"  {part}: {_smallest(data, part)}"
    for split in ("validation", "test"):
        for cell in data.cells:
            data.tasks(split, cell)
    data.train_tasks(1, 1, seed=0)
    asked = [("judged", data.ways, data.supports, data.queries)]
    trained = ("training", data.train_ways, data.train_shots, data.train_queries)
    if trained[1:] != (sorted(data.ways), *asked[0][2:]):
        asked.append(trained)
    for kind, ways, shots, queries in asked:
        yield f"{kind} episodes fit: {_or(ways)} ways x ({_or(shots)} shots + {queries} queries)"


def _smallest(data: FewShotImages, part: str) -> str:
    classes = data.classes(part)
    if not len(classes):
        return "no class"
    count = data.bank.count[classes]
    name = data.images.classes[int(classes[torch.argmin(count)]) % len(data.images.classes)]
    return f"{len(classes):,} classes, {int(count.min()):,} images in the smallest ({name})"


def _or(numbers: Sequence[int]) -> str:
    return " or ".join(map(str, numbers))
