"""What a SLURM job does on its node: its runs, each in a process of its own, and what happens when its time is up.

A run that was asked to leave has saved by the time its process ends (metarun.stopping). The job then goes back into the
queue, unless it was cancelled: SLURM has changed its state by then.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from metarun import stopping
from metarun.config import FOLDER
from metarun.launchers.base import LOG, SUMMARY
from metarun.results import read_json, write_json

LOCK_WAIT = "900"
"""Seconds that a requeued run waits for its old process on a lost node to leave the folder."""
ALIVE = ("RUNNING", "SIGNALING")
"""States of a job that nobody has cancelled and whose time is not over."""
GONE = 120.0
"""Seconds after which SLURM has ended a task for sure."""
LIMIT = (signal.SIGUSR1, signal.SIGUSR2)
"""What SLURM sends shortly before a job's time is over."""


class Run(NamedTuple):
    """One run of a job: `metarun WORDS`, which works in `folder`."""

    words: list[str]
    folder: Path


class Work(NamedTuple):
    """The runs of one job. spread: each task of the job takes whole runs; else all tasks are ranks of the same run."""

    runs: list[Run]
    spread: bool
    home: Path  # the submission's folder
    cwd: Path
    environment: dict[str, str]
    max_num_timeout: int
    patience: float  # seconds that the other tasks may take to save


class Place(NamedTuple):
    """Where in the cluster this process is."""

    job: str
    rank: int
    local: int
    tasks: int
    restart: int

    @classmethod
    def here(cls, environment: Mapping[str, str]) -> Place:
        """Read it from SLURM's variables."""

        def number(name: str, absent: int = 0) -> int:
            return int(environment.get(f"SLURM_{name}", absent))

        job = environment["SLURM_JOB_ID"]
        return cls(job, number("PROCID"), number("LOCALID"), number("NTASKS", 1), number("RESTART_COUNT"))


class Node:
    """What submitit calls on the node, in each task of the job."""

    def __call__(self, work: Work) -> None:
        """Do this task's share. Raises SystemExit where a run has failed."""
        os.chdir(work.cwd)
        os.environ.update(work.environment)
        place = Place.here(os.environ)
        task = Task(work, place)
        codes = [task.do(run) for run in share(work, place)]
        task.mark("done")
        failed = sum(code != 0 for code in codes)
        if failed:
            raise SystemExit(f"{failed} of {len(codes)} runs have failed")

    def checkpoint(self, work: Work) -> Any:
        """Return the same job again: submitit asks where a signal comes before our handlers are there."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, work)


def share(work: Work, place: Place) -> list[Run]:
    """Return the runs of a task: r, r + T, r + 2 T, ... of T tasks, or all where the tasks are ranks of one run."""
    return work.runs[place.rank :: place.tasks] if work.spread else list(work.runs)


class Task:
    """One task of the job: starts its runs, passes signals on to them, and leaves when one has been stopped."""

    def __init__(self, work: Work, place: Place) -> None:
        self.work, self.place = work, place
        self.asked: int | None = None
        self.process: BaseProcess | None = None
        for number in stopping.SIGNALS:
            signal.signal(number, self.pass_on)

    def pass_on(self, number: int, _frame: FrameType | None) -> None:
        """Tell the run: SLURM may have told this process alone."""
        self.asked = self.asked or number
        if self.process is not None and self.process.pid is not None and self.process.is_alive():
            os.kill(self.process.pid, number)

    def do(self, run: Run) -> int:
        """Do one run, unless this job has ended it before it was requeued, and return its exit code."""
        result = result_of(self.work.home, run.folder)
        if (run.folder / SUMMARY).exists():
            return 0
        if result.exists():
            return int(read_json(result)["code"])
        code = self.start(run) if self.asked is None else stopping.code(self.asked)
        number = self.asked or stopped_by(code)  # a rank that waits for the first one may end with another code
        if code and number is not None:
            self.leave(number)
        if code and not result.exists():
            write_json(result, {"code": code, "log": str(self.log(run))})
        return code

    def log(self, run: Run) -> Path:
        """Return where this task's run prints to; ranks beside the first have a log of their own."""
        return run.folder / (LOG if self.work.spread or self.place.rank == 0 else f"metarun.{self.place.rank}.log")

    def start(self, run: Run) -> int:
        """Run it in a process forked from this one, which has imported everything and computed nothing."""
        import metarun.run
        import metarun.strategies.gradient  # noqa: F401

        own = run_environment(os.environ, self.work.spread, self.place) | {FOLDER: str(run.folder)}
        given = (run.words, self.log(run), own)
        self.process = multiprocessing.get_context("fork").Process(target=_run, args=given)
        self.process.start()
        self.process.join()
        code, self.process = self.process.exitcode, None
        assert code is not None
        return code

    def leave(self, number: int) -> None:
        """Go back into the queue with all that was saved; this process ends here."""
        self.mark(signal.Signals(number).name)
        if number in LIMIT and self.times_over() > self.work.max_num_timeout:
            said = (
                f"its time was over {self.times_over()} times; hydra.launcher.max_num_timeout or timeout_min allow more"
            )
            self.end(number, said)
        until = time.monotonic() + GONE
        # SLURM ends the tasks. One that ends by itself could end the others before they have saved.
        while not list(self.marks().glob(f"{self.prefix()}*.requeued")) and time.monotonic() < until:
            if self.place.rank == min(set(range(self.place.tasks)) - self.marked("done")):
                self.send_back(number)
            time.sleep(0.1)
        _exit(stopping.code(number))

    def send_back(self, number: int) -> None:
        """Put the job back into the queue, unless it was cancelled; the first task that is not done does it for all."""
        patience = self.work.patience if number in LIMIT else min(self.work.patience, 20.0)
        until = time.monotonic() + patience
        while len(self.marked()) < self.place.tasks and time.monotonic() < until:
            time.sleep(0.1)
        state = state_of(self.place.job)
        if state not in ALIVE:
            say(f"stopped by {signal.Signals(number).name}, the job is {state}: not sent again")
            time.sleep(GONE)
            return
        refusal = requeue(self.place.job)
        if refusal:
            self.end(number, f"could not go back into the queue: {refusal}")
        say(f"stopped by {signal.Signals(number).name}, saved, and back in the queue")
        self.mark("requeued")

    def end(self, number: int, reason: str) -> None:
        """End for good, and say why."""
        say(reason)
        if self.work.spread or self.place.rank == 0:
            for run in share(self.work, self.place):
                if not (run.folder / SUMMARY).exists():
                    write_json(result_of(self.work.home, run.folder), {"code": stopping.code(number), "reason": reason})
        _exit(1)

    # ------------------------------------------------------------------ what the tasks of a job tell each other

    def marks(self) -> Path:
        """Return the folder of the marks of all jobs of this submission."""
        return self.work.home / "marks"

    def prefix(self) -> str:
        """Return how the marks of this attempt of the job begin."""
        return f"{self.place.job}.{self.place.restart}."

    def mark(self, what: str) -> None:
        """Tell the other tasks, on the shared folder."""
        self.marks().mkdir(parents=True, exist_ok=True)
        (self.marks() / f"{self.prefix()}{self.place.rank}.{what}").touch()

    def marked(self, what: str = "*") -> set[int]:
        """Return the tasks of this attempt that have said so; "*": those that have saved or done all they had."""
        return {int(path.name.split(".")[2]) for path in self.marks().glob(f"{self.prefix()}*.{what}")}

    def times_over(self) -> int:
        """Return how many attempts of this job, this one included, were ended by the time limit."""
        names = [path.name.split(".") for path in self.marks().glob(f"{self.place.job}.*")]
        return len({name[1] for name in names if name[3] in [number.name for number in LIMIT]})


def _run(words: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
    """Do one run in the forked process; what it prints goes to its log."""
    for number in (*stopping.SIGNALS, signal.SIGCONT):  # the handlers of the process that forked it are not its own
        signal.signal(number, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(environment)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    from metarun.cli import job

    sys.argv = ["metarun", *words]
    code = job(words)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def run_environment(environment: Mapping[str, str], spread: bool, place: Place) -> dict[str, str]:
    """Return the variables of a run.

    A whole run knows nothing of SLURM, whose tasks Lightning would take for its ranks, and of its node's GPUs it sees
    its own where there is one for each task.
    """
    found = {**environment, "METARUN_WAIT": LOCK_WAIT}
    if not spread:
        return found
    gpus = environment.get("CUDA_VISIBLE_DEVICES", "").split(",")
    if place.tasks > 1 and len(gpus) > 1:
        found["CUDA_VISIBLE_DEVICES"] = gpus[place.local % len(gpus)]
    return {name: value for name, value in found.items() if not name.startswith(("SLURM_", "SRUN_"))}


def stopped_by(code: int) -> int | None:
    """Return the signal that a run's exit code stands for, None where it has ended by itself or was killed."""
    number = -code if code < 0 else code - 128
    return number if number in stopping.SIGNALS else None


def result_of(home: Path, folder: Path) -> Path:
    """Return where a submission keeps how the run in `folder` ended, if it did not finish."""
    return home / "results" / f"{folder.parent.name}-{folder.name}.json"


def state_of(job: str) -> str:
    """Return the state of a job as SLURM tells it, "" where it does not answer."""
    found = re.search(r"\bJobState=(\w+)", _scontrol("show", "job", job, "-o").stdout)
    return found[1] if found else ""


def requeue(job: str) -> str:
    """Put a job back into the queue and return "", or why that cannot be."""
    done = _scontrol("requeue", job)
    return "" if done.returncode == 0 else (done.stderr.strip() or f"scontrol requeue ended with {done.returncode}")


def _scontrol(*words: str) -> subprocess.CompletedProcess[str]:
    command = ["scontrol", *words]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 1, "", str(error))


def say(text: str) -> None:
    """Print a line into the job's log."""
    print(f"metarun: {text}", flush=True)


def _exit(code: int) -> None:
    """Leave at once: nothing else may be written."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
