"""Image files and sound files that a column of a table names, as arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metarun.data.audio.decode import decode as hear
from metarun.data.audio.decode import fitted
from metarun.data.audio.spectrogram import log_mel
from metarun.data.images.decode import decode, resized
from metarun.data.tabular import Table
from metarun.errors import MetarunError


def spelled(value: Any) -> str:
    """Return a field as text, an empty one as ""."""
    return "" if value is None or value != value else str(value).strip()


def each(table: Table, column: str, names: Sequence[str], read: Callable[[Path, str], Any], empty: Any) -> list[Any]:
    """Return what is read of the files that a column names, `empty` where it names none.

    Raises:
        MetarunError: a file that is not there, with its line.
    """
    found = []
    for row, name in enumerate(names):
        path = table.path.parent / Path(name).expanduser()
        where = f"{table.path} {table.place(row)}: column '{column}': {path}"
        if name and not path.is_file():
            raise MetarunError(f"{where} is no file: paths are those from {table.path.parent.resolve()}")
        found.append(read(path, where) if name else empty)
    return found


def pictures(table: Table, column: str, names: Sequence[str], shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return images (N, channels, side, side), scaled; of an empty name all 0."""
    channels, side, _ = shape

    def read(path: Path, where: str) -> NDArray[np.uint8]:
        return resized(decode(path, where, channels), side)

    return np.stack(each(table, column, names, read, np.zeros(shape, np.uint8)))


def sounds(table: Table, column: str, names: Sequence[str], rate: int, samples: int, bands: int) -> NDArray[np.uint8]:
    """Return spectrograms (N, 1, bands, frames) of the middle `samples` of each clip; of an empty name all 0."""
    found = each(table, column, names, lambda path, where: hear(path, where, rate), np.zeros(0, np.int16))
    return log_mel(fitted(found, samples), rate, bands)
