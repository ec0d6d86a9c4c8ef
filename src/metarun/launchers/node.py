"""What a SLURM job does on its node: its runs, each in a process of its own, and what happens when its time is up.

A run that was asked to leave has saved by the time its process ends (metarun.stopping). The job then goes back into the
queue, unless it was cancelled: SLURM has changed its state by then.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from metarun import manifest, processes, stopping
from metarun.config import FOLDER
from metarun.errors import PeerGone
from metarun.launchers.base import LOG
from metarun.launchers.requeue import ALIVE, Marks, requeue, seconds_left, state_of, wait_for
from metarun.results import SUMMARY, read_json, write_json

LOCK_WAIT = "inf"
"""Seconds that a requeued run waits for its old process on a lost node to leave the folder: as long as the job has."""
GONE = 120.0
"""Seconds after which SLURM has ended a task for sure."""
LIMIT = (signal.SIGUSR1, signal.SIGUSR2)
"""What SLURM sends shortly before a job's time is over."""
EARLY = 90.0
"""Seconds that SLURM may send it early."""
SILENCE, RETRY = 60.0, 2.0
"""Seconds that SLURM may take to answer or to accept a job, and between two questions."""
TOO_OFTEN = {
    "limit": "its time was over {} times; hydra.launcher.max_num_timeout or timeout_min allow more",
    "lost": "a task of it was lost {} times; hydra.launcher.max_num_timeout allows more",
}
"""Why a job is not sent again."""


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
        task.marks.put("done")
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
        self.marks = Marks(work.home / "marks", place.job, place.restart, place.rank)
        self.asked: int | None = None
        self.process: BaseProcess | None = None
        for number in stopping.SIGNALS:
            signal.signal(number, self.pass_on)

    def pass_on(self, number: int, _frame: FrameType | None) -> None:
        """Tell the run: SLURM may have told this process alone."""
        self.asked = self.asked or number
        if self.process is not None and self.process.pid is not None and self.process.is_alive():
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.kill(self.process.pid, number)

    def do(self, run: Run) -> int:
        """Do one run, unless this job has ended it before it was requeued, and return its exit code."""
        result = result_of(self.work.home, run.folder)
        if (run.folder / SUMMARY).exists():
            return 0
        if result.exists():
            return int(read_json(result)["code"])
        code = self.start(run)
        if code == 0:
            return code
        number = self.asked or stopped_by(code)  # a rank that waits for the first one may end with another code
        if number is not None:
            self.leave(number)
        if code == PeerGone.code:
            # A rank that has failed or finished leaves that in a file; one that was lost with its node leaves nothing.
            wait_for(lambda: ended(self.work.home, run) or self.asked is not None, self.patience(None))
            if not ended(self.work.home, run):
                self.leave(self.asked)
            return self.do(run)
        if not result.exists():
            write_json(result, {"code": code, "log": str(self.log(run))})
        return code

    def log(self, run: Run) -> Path:
        """Return where this task's run prints to; ranks beside the first have a log of their own."""
        return run.folder / (LOG if self.work.spread or self.place.rank == 0 else f"metarun.{self.place.rank}.log")

    def start(self, run: Run) -> int:
        """Run it in a process forked from this one, which has imported everything and computed nothing."""
        prepare()
        own = run_environment(os.environ, self.work.spread, self.place, run.folder)
        process = multiprocessing.get_context("fork").Process(target=_run, args=(run.words, own, self.log(run)))
        # In the new process none may come before it has its own handlers.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, stopping.SIGNALS)
        try:
            if self.asked is not None:
                return stopping.code(self.asked)
            process.start()
            self.process = process
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if self.asked is not None:  # meanwhile, by way of another thread
            self.pass_on(self.asked, None)
        process.join()
        manifest.killed(run.folder, process)
        code, self.process = process.exitcode, None
        assert code is not None
        return code

    def leave(self, number: int | None) -> None:
        """Go back into the queue with all that was saved; this process ends here. number: None where a rank is gone."""
        code = PeerGone.code if number is None else stopping.code(number)
        why = self.why(number)
        self.marks.put(why)
        times = self.marks.attempts(why)
        if why in TOO_OFTEN and times > self.work.max_num_timeout:
            self.end(code, TOO_OFTEN[why].format(times))
        wait_for(lambda: len(self.marks.of()) == self.place.tasks, self.patience(number))
        until = time.monotonic() + GONE
        # SLURM ends the tasks. One that ends by itself could end the others before they have saved.
        while not self.marks.of("requeued") and time.monotonic() < until:
            # The first that is left does it for all: one that was killed has said nothing.
            if self.place.rank == min(self.marks.of() - self.marks.of("done")):
                self.send_back(number)
            time.sleep(0.1)
        _exit(code)

    def why(self, number: int | None) -> str:
        """Return what is told to the other tasks, and counted: a signal of LIMIT may have come from the user, too."""
        if number is None:
            return "lost"
        near = number in LIMIT and seconds_left(self.place.job) < 2 * self.work.patience + EARLY
        return "limit" if near else signal.Signals(number).name

    def patience(self, number: int | None) -> float:
        """Return the seconds that the other tasks may take; those that are left when one is gone notice at once."""
        return min(self.work.patience, 5.0 if number is None else self.work.patience if number in LIMIT else 20.0)

    def send_back(self, number: int | None) -> None:
        """Put the job back into the queue, unless it was cancelled; SLURM may have no answer for a while."""
        how = "another task is gone" if number is None else f"stopped by {signal.Signals(number).name}, saved"
        until, refusal = time.monotonic() + SILENCE, "SLURM does not answer"
        while time.monotonic() < until:
            state = state_of(self.place.job)
            if state and state not in ALIVE:
                say(f"{how}; the job is {state}: not sent again")
                time.sleep(GONE)
                return
            if state:
                refusal = requeue(self.place.job)
            if not refusal:
                say(f"{how}, and back in the queue")
                self.marks.put("requeued")
                return
            time.sleep(RETRY)
        self.end(
            PeerGone.code if number is None else stopping.code(number), f"could not go back into the queue: {refusal}"
        )

    def end(self, code: int, reason: str) -> None:
        """End for good, and say why."""
        say(reason)
        if self.work.spread or self.place.rank == min(self.marks.of()):
            for run in share(self.work, self.place):
                if not (run.folder / SUMMARY).exists():
                    write_json(result_of(self.work.home, run.folder), {"code": code, "reason": reason})
        _exit(1)


def prepare() -> None:
    """Import what every run needs, which takes seconds, before the first is forked."""
    import metarun.run
    import metarun.strategies.gradient  # noqa: F401


def _run(words: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
    """Do one run in the forked process."""
    for number in (*stopping.SIGNALS, signal.SIGCONT):  # the handlers of the process that forked it are not its own
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, stopping.SIGNALS)
    processes.perform(words, environment, log)


def run_environment(environment: Mapping[str, str], spread: bool, place: Place, folder: Path) -> dict[str, str]:
    """Return the variables of a run.

    A whole run knows nothing of SLURM, whose tasks Lightning would take for its ranks, and of its node's GPUs it sees
    its own where there is one for each task.
    """
    found = {**environment, "METARUN_WAIT": LOCK_WAIT, FOLDER: str(folder)}
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


def ended(home: Path, run: Run) -> bool:
    """Return whether a run has finished or failed for good."""
    return (run.folder / SUMMARY).exists() or result_of(home, run.folder).exists()


def say(text: str) -> None:
    """Print a line into the job's log."""
    print(f"metarun: {text}", flush=True)


def _exit(code: int) -> None:
    """Leave at once: nothing else may be written."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
