"""Write a file whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from metarun.errors import MetarunError


def write(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    """Let `fill` write a temporary file beside `path`, flush it to the disk and rename it into place.

    A reader, and a process killed at any moment, sees the old file or the new one. Raises MetarunError where the disk
    is full or the folder cannot be written; the old file is then as it was.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise MetarunError(
                f"cannot write {path}: {error.strerror or error}. What was saved before is kept; "
                "free some space or name a folder that can be written with paths.outputs=FOLDER."
            ) from error
        raise


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, whatever the locale."""
    write(path, lambda file: file.write(text.encode("utf-8")))


def _sync_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut, where the system can sync a folder."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sweep(folder: Path) -> None:
    """Remove the temporary files that killed processes left in a folder; nobody else may be writing in it."""
    for path in Path(folder).rglob(".*.*.tmp"):
        with contextlib.suppress(OSError):
            path.unlink()
