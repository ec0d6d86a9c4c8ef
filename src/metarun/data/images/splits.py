"""Which classes are trained on, chosen on and tested on: by lists that everybody uses, or by a hash of their names."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib import resources

from metarun.data.images.images import Images
from metarun.errors import MetarunError, did_you_mean

PARTS = ("train", "validation", "test")
LISTED = {"vinyals": "omniglot", "lake": "omniglot"}  # and whose classes the lists name
SHARES = (0.64, 0.16, 0.2)


def class_split(images: Images, name: str, seed: int = 0, shares: Sequence[float] = SHARES) -> dict[str, list[int]]:
    """Return the classes, as ascending indices, of "train", "validation" and "test".

    `vinyals` (Omniglot; 1,028 / 172 / 423 characters; Vinyals et al., NeurIPS 2016, with the validation part of Snell
    et al., NeurIPS 2017): of the background alphabets by name and then the evaluation alphabets by name, the first
    1,200 characters, five alphabets of them for validation, and the rest as test. One alphabet, Gurmukhi, has
    characters in both train and test, so this is no split across alphabets.
    `lake` (Omniglot; 801 / 163 / 659; Lake et al., Science 350, 2015): the evaluation alphabets are the test; five of
    the 30 background alphabets, drawn once for all, are the validation. No alphabet is in two parts.
    `seeded`: by the hash of (seed, class name), cut by `shares`; neither a folder's order nor a global seed matters.

    Raises:
        MetarunError: no such split, lists of classes that these images have not, or shares that are none.
    """
    if name in LISTED:
        return _listed(images, name)
    known = [*LISTED, "seeded"]
    if name != "seeded":
        raise MetarunError(f"dataset.split={name}: choose {', '.join(known)}.{did_you_mean(str(name), known)}")
    if len(shares) != len(PARTS) or not (min(shares) >= 0 and abs(sum(shares) - 1) <= 1e-6):
        raise MetarunError(
            f"dataset.shares={list(shares)}: give three shares, of {', '.join(PARTS)}, from 0 on, whose sum is 1."
        )
    return _seeded(images.classes, seed, shares)


def listed(name: str, part: str) -> list[str]:
    """Return the class names of a part of a split that is given by lists."""
    file = resources.files(__package__) / "lists" / name / f"{part}.txt"
    return file.read_text(encoding="utf-8").split()


def shuffled(names: Sequence[str], seed: int) -> list[str]:
    """Return the names in an order that depends on nothing but them and the seed."""
    return sorted(names, key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).digest())


def _listed(images: Images, split: str) -> dict[str, list[int]]:
    index = {name: i for i, name in enumerate(images.classes)}
    found = {part: listed(split, part) for part in PARTS}
    strange = next((name for names in found.values() for name in names if name not in index), None)
    if strange is not None:
        raise MetarunError(
            f"dataset.split={split} is of the classes of {LISTED[split]}, but {images.name} has no '{strange}': "
            "choose dataset.split=seeded."
        )
    return {part: sorted(index[name] for name in names) for part, names in found.items()}


def _seeded(classes: Sequence[str], seed: int, shares: Sequence[float]) -> dict[str, list[int]]:
    index = {name: i for i, name in enumerate(classes)}
    order = [index[name] for name in shuffled(classes, seed)]
    first, second = round(shares[0] * len(order)), round((shares[0] + shares[1]) * len(order))
    cuts = (order[:first], order[first:second], order[second:])
    return {part: sorted(cut) for part, cut in zip(PARTS, cuts, strict=True)}
