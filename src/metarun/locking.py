"""One process at a time: the others wait; the system itself lets go when a process dies, however."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from metarun.errors import MetarunError


@contextmanager
def alone(path: Path, what: str, advice: str) -> Iterator[None]:
    """Hold the lock of the file `path`, which is made where it is missing and stays, waiting for whoever has it.

    Where the file system knows no locks nothing is held. Raises MetarunError, "WHAT (reason): ADVICE", where the file
    cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    except OSError as error:
        raise MetarunError(f"{what} ({error.strerror or error}): {advice}") from error
    with file:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
