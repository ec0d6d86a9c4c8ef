"""Arrays that were read once, kept in a folder of the cache: all of them or none, whoever is killed while writing."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metarun.errors import MetarunError

ROOM = "set METARUN_CACHE to a folder that can be written and has room."
META = "meta.json"


def store(
    place: Path, arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, Any], whole: Callable[[], bool], what: str
) -> None:
    """Write NAME.npy of every array and meta.json into a temporary folder and rename it to `place`.

    whole: whether what is at `place` already can be read; what cannot is replaced. what: for the error.

    Raises:
        MetarunError: the cache cannot be written.
    """
    unfinished: Path | None = None
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        _sweep(place.parent)
        unfinished = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=place.parent))
        for name, array in arrays.items():
            np.save(unfinished / f"{name}.npy", array)
        (unfinished / META).write_text(json.dumps(meta), encoding="utf-8")
        if place.exists() and not whole():
            shutil.rmtree(place)
        try:
            unfinished.rename(place)
        except OSError:
            if not place.is_dir():  # otherwise another process was first, and what it wrote is the same
                raise
    except OSError as error:
        raise MetarunError(f"{what} cannot be kept in {place.parent} ({error.strerror or error}): {ROOM}") from error
    finally:
        if unfinished is not None:
            shutil.rmtree(unfinished, ignore_errors=True)


def _sweep(cache: Path) -> None:
    """Remove what a killed process left unfinished more than a day ago."""
    for left in cache.glob(".unfinished-*"):
        if time.time() - left.stat().st_mtime > 86_400:
            shutil.rmtree(left, ignore_errors=True)


def default_cache() -> Path:
    """Return the folder of what was read once: METARUN_CACHE, or one in the user's cache folder."""
    named = os.environ.get("METARUN_CACHE")
    return Path(named).expanduser() if named else Path.home() / ".cache" / "metarun" / "columns"
