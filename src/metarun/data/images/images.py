"""Labelled images as one array of pixels: what every episode is cut from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metarun.data import ratings
from metarun.errors import MetarunError

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Images:
    """Labelled images of one size, ordered by class and then by file name, or as the official files have them."""

    name: str  # "omniglot", "image_folder/birds": printed in every table
    checksum: str  # sha256 of everything below
    pixels: NDArray[np.uint8]  # (N, channels, height, width) 0..255; of drawings the ink is bright
    label: NDArray[np.int64]  # (N,) index into classes
    classes: list[str]  # ascending, whatever the order of a folder
    official: dict[str, Rows]  # image numbers of an official split by its parts: {"train": (n,), "test": (m,)}, or {}
    descriptions: NDArray[np.float32] | None  # (classes, A) attributes of each class, None where nothing is known

    @property
    def inputs(self) -> NDArray[np.uint8]:
        """What a model reads: the pixels."""
        return self.pixels

    def rows(self, index: int) -> Rows:
        """Return the numbers (n,) of the images of a class."""
        return np.flatnonzero(self.label == index)


def assemble(
    name: str,
    pixels: NDArray[np.uint8],
    label: NDArray[np.int64],
    classes: Sequence[str],
    official: Mapping[str, Rows] | None = None,
    descriptions: NDArray[np.float32] | None = None,
) -> Images:
    """Return the images with their checksum.

    Raises:
        MetarunError: as `check`.
    """
    arrays: dict[str, NDArray[Any]] = {
        "pixels": pixels,
        "label": label,
        **{f"official.{part}": rows for part, rows in (official or {}).items()},
    }
    if descriptions is not None:
        arrays["descriptions"] = descriptions
    digest = ratings.checksum(arrays, {"classes": list(classes)})
    return check(Images(name, digest, pixels, label, list(classes), dict(official or {}), descriptions))


def check(images: Images) -> Images:
    """Return the images as they are, if their parts fit together.

    Raises:
        MetarunError: an array of another shape or type, a class twice or without an image, a label or row out of range.
    """
    count, classes = len(images.pixels), len(images.classes)
    told = images.descriptions
    # A function each, so that none is asked after an earlier one has failed.
    laws: dict[str, Callable[[], Any]] = {
        "pixels must be uint8 of shape (N, channels, height, width)": lambda: (
            images.pixels.dtype == np.uint8 and images.pixels.ndim == 4 and images.pixels.size > 0
        ),
        "label must be int64 of shape (N,)": lambda: images.label.dtype == np.int64 and images.label.shape == (count,),
        "classes must ascend": lambda: images.classes == sorted(set(images.classes)),
        "every class must have an image, every image a class": lambda: np.array_equal(
            np.unique(images.label), np.arange(classes)
        ),
        "descriptions must be finite float32 of shape (classes, A)": lambda: (
            told is None
            or (told.dtype == np.float32 and told.ndim == 2 and len(told) == classes and np.isfinite(told).all())
        ),
        "official rows must be image numbers, none in two parts": lambda: _apart(images.official, count),
    }
    for law, holds in laws.items():
        if not holds():
            raise MetarunError(f"{images.name}: {law}.")
    return images


def described(images: Images, descriptions: NDArray[np.float32]) -> Images:
    """Return the images with the attributes (classes, A) of their classes, which the checksum then covers."""
    digest = hashlib.sha256(f"{images.checksum} {ratings.checksum({'descriptions': descriptions}, {})}".encode())
    return check(replace(images, checksum=digest.hexdigest(), descriptions=descriptions))


def _apart(official: Mapping[str, Rows], count: int) -> bool:
    rows = np.concatenate([np.zeros(0, np.int64), *official.values()])
    return len(np.unique(rows)) == len(rows) and bool(((rows >= 0) & (rows < count)).all())
