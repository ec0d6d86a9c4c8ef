"""Keep decoded images memory-mapped in the cache."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metarun.data import kept
from metarun.data.images.images import Images
from metarun.errors import MetarunError
from metarun.locking import alone

FORMAT = 2  # raise it when the same files come to mean other pixels


def cached(name: str, identity: str, build: Callable[[], Images], cache: Path | None = None) -> Images:
    """Return what `build` returned when it was last called for `identity`, or call it and keep the result.

    `name` is part of the folder's name in `cache` (default: METARUN_CACHE). Descriptions and official
    splits are not kept.

    Raises:
        MetarunError: as `build`, or a cache that cannot be written.
    """
    home = cache or kept.default_cache()
    place = home / f"{name}-{hashlib.sha256(f'{FORMAT} {identity}'.encode()).hexdigest()[:16]}"
    found = _open(place)
    if found is None:
        # Of the jobs of a sweep one decodes, the others wait for it.
        with alone(home / f".{place.name}.lock", f"The decoded images cannot be kept in {home}", kept.ROOM):
            found = _open(place)
            if found is None:
                _store(build(), place)
                found = _open(place)
    if found is None:
        raise MetarunError(f"{place} was written but cannot be read back: set METARUN_CACHE to another folder.")
    return found


def _open(place: Path) -> Images | None:
    """Return the images kept at `place`, memory-mapped, or None if they are not there or not whole."""
    try:
        meta = json.loads((place / "meta.json").read_text(encoding="utf-8"))
        # Mode "c": nothing is ever written back, yet the array counts as writable, which torch.from_numpy wants.
        pixels = np.asarray(np.load(place / "pixels.npy", mmap_mode="c"))
        label = np.load(place / "label.npy")
        if [list(pixels.shape), list(label.shape)] != meta["shapes"]:
            return None
        return Images(meta["name"], meta["checksum"], pixels, label, meta["classes"], {}, None)
    except (OSError, EOFError, ValueError, KeyError, TypeError):
        return None


def _store(images: Images, place: Path) -> None:
    """Write the images into a temporary folder and rename it to `place`: readers see all of it or nothing."""
    meta = {
        "name": images.name,
        "checksum": images.checksum,
        "classes": images.classes,
        "shapes": [list(images.pixels.shape), list(images.label.shape)],
    }
    arrays: dict[str, NDArray[Any]] = {"pixels": images.pixels, "label": images.label}
    kept.store(place, arrays, meta, lambda: _open(place) is not None, "The decoded images")


def identity(files: Iterable[Path | os.DirEntry[str]]) -> str:
    """Return path, size and time of change of files: what tells that they are still the same."""
    stats = [(os.fspath(file), file.stat()) for file in files]
    return repr(sorted((path, stat.st_size, stat.st_mtime_ns) for path, stat in stats))
