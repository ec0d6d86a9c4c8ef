"""Whether a run's folder is taken up, shown, or refused; one process at a time works in it."""

from __future__ import annotations

import fcntl
import math
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from omegaconf import DictConfig

from metarun import atomic, manifest
from metarun.errors import MetarunError
from metarun.results import SUMMARY, read_json

LOCK = ".lock"
WAIT = "METARUN_WAIT"
"""The variable that says how many seconds a run waits for another process to leave its folder; by default none."""


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Keep every other process out of a run's folder; the system itself lets go when this process dies, however.

    A finished run is only read, so it is not locked. Where METARUN_WAIT says so, another process may have some time to
    leave: a SLURM job that was requeued from a lost node, or a sweep started again, may meet the one before.

    Raises:
        MetarunError: another process works in it, or the folder cannot be written.
    """
    if (folder / SUMMARY).exists():
        yield
        return
    path = folder / LOCK
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise MetarunError(
            f"cannot write {path}: {error.strerror}; set paths.outputs to a folder that can be"
        ) from error
    with file:
        try:
            _lock(file, folder)
        except OSError as error:
            print(f"{folder} cannot be locked ({error.strerror}): start no second run in it.", file=sys.stderr)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {os.uname().nodename}\n")
        file.flush()
        atomic.sweep(folder)
        yield


def _lock(file: TextIO, folder: Path) -> None:
    """Lock the file of a folder. Raises MetarunError if another process still works there after METARUN_WAIT."""
    wait = _patience()
    until, announced = time.monotonic() + wait, False
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            other = file.read().strip() or "just started"
        if time.monotonic() >= until:
            raise MetarunError(
                f"another process ({other}) is working in {folder}. "
                "Wait until it has ended, or start a new run beside it with resume=never."
            )
        if not announced:
            long = f"up to {wait:.0f} s " if math.isfinite(wait) else ""
            print(f"waiting {long}for another process ({other}) to leave {folder}", file=sys.stderr, flush=True)
            announced = True
        time.sleep(0.2)


def _patience() -> float:
    """Return the seconds that METARUN_WAIT allows. Raises MetarunError where it is not a number."""
    said = os.environ.get(WAIT) or "0"
    try:
        return float(said)
    except ValueError:
        raise MetarunError(f"{WAIT}={said}: give a number of seconds") from None


def take_up(folder: Path, cfg: DictConfig, data: dict[str, Any]) -> dict[str, Any] | None:
    """Return the summary of a finished run; None where there is something left to do.

    Raises:
        MetarunError: the folder holds a run of another config or of other data.
    """
    if not (folder / manifest.NAME).exists():
        return None
    differences = manifest.compare(folder, cfg, data)
    if differences:
        raise MetarunError(manifest.another(folder, differences))
    if (folder / SUMMARY).exists():
        with suppress(MetarunError):  # a folder that is only read can be shown all the same
            manifest.settle(folder)
        print(f"{folder} is finished; resume=never runs it again beside it.", file=sys.stderr)
        found: dict[str, Any] = read_json(folder / SUMMARY)
        return found
    for warning in manifest.changed(folder):
        print(warning, file=sys.stderr)
    return None
