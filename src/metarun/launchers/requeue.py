"""How a job goes back into the queue: what SLURM is asked, and what its tasks tell each other on the shared folder."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

ALIVE = ("RUNNING", "SIGNALING")
"""States of a job that nobody has cancelled and whose time is not over."""


class Marks(NamedTuple):
    """What the tasks of a job have said in an attempt, a file a word: limit, lost, SIGTERM..., done, requeued."""

    folder: Path
    job: str
    restart: int  # the attempt, from 0 on
    rank: int

    def put(self, word: str) -> None:
        """Tell the other tasks."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / f"{self.job}.{self.restart}.{self.rank}.{word}").touch()

    def of(self, word: str = "*") -> set[int]:
        """Return the tasks of this attempt that have said so; "*": those that have said anything."""
        found = self.folder.glob(f"{self.job}.{self.restart}.*.{word}")
        return {int(path.name.split(".")[2]) for path in found}

    def attempts(self, word: str) -> int:
        """Return in how many attempts of this job, this one included, a task has said so."""
        return len({path.name.split(".")[1] for path in self.folder.glob(f"{self.job}.*.*.{word}")})


def wait_for(what: Callable[[], bool], seconds: float) -> None:
    """Wait until something is the case, but not for ever."""
    until = time.monotonic() + seconds
    while not what() and time.monotonic() < until:
        time.sleep(0.1)


def state_of(job: str) -> str:
    """Return the state of a job as SLURM tells it, "" where it does not answer."""
    found = re.search(r"\bJobState=(\w+)", _scontrol("show", "job", job, "-o").stdout)
    return found[1] if found else ""


def seconds_left(job: str) -> float:
    """Return how long a job may still run; 0 where SLURM does not say."""
    found = re.search(r"\bEndTime=([-\d]+T[:\d]+)", _scontrol("show", "job", job, "-o").stdout)
    return datetime.fromisoformat(found[1]).timestamp() - time.time() if found else 0.0


def requeue(job: str) -> str:
    """Put a job back into the queue and return "", or why that cannot be."""
    done = _scontrol("requeue", job)
    return "" if done.returncode == 0 else (done.stderr.strip() or f"scontrol requeue ended with {done.returncode}")


def _scontrol(*words: str) -> subprocess.CompletedProcess[str]:
    command = ["scontrol", *words]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 1, "", str(error))
