"""hydra/launcher=joblib: jobs side by side on this machine, each in a process of its own.

A pool of joblib is lost as a whole when the system kills one of its workers for memory. Here each job is forked from a
process that has imported everything, so a worker that dies is one failed job, and the imports are paid once.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import deque
from collections.abc import Iterator
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple

from metarun import machine, manifest, processes, stopping
from metarun.config import FOLDER
from metarun.launchers.base import LOG, Job, Launch, Outcome, state_of
from metarun.results import SUMMARY, objective, read_json

PATIENCE = 60.0
"""Seconds that a stopped job may take to save what it has."""
WAIT_FOR_LOCK = "20"


class Working(NamedTuple):
    """A job under way."""

    job: Job
    process: BaseProcess
    began: float


class Pool(Launch):
    """Runs `n_jobs` jobs at a time; null is as many as the cores have room for, by trainer.threads."""

    __module__ = "hydra_plugins.metarun"  # see launchers.PACKAGE

    def __init__(self, n_jobs: int | None) -> None:
        self.n_jobs = n_jobs

    def perform(self, jobs: list[Job]) -> Iterator[Outcome]:
        """Run the jobs in their order, and yield each as it ends."""
        threads = self.config.trainer.threads
        cores = machine.cores()
        at_once = self.n_jobs or max(1, cores // (threads or cores))
        if threads:  # for the libraries that ask the environment when they are imported, in the process that is forked
            os.environ.setdefault("OMP_NUM_THREADS", str(threads))
        logs = os.path.commonpath([job.folder for job in jobs])
        print(f"{len(jobs)} jobs, {at_once} at a time; logs: {logs}/.../{LOG}", file=sys.stderr, flush=True)
        waiting, working = deque(jobs), dict[int, Working]()
        try:
            while waiting or working:
                while waiting and len(working) < at_once:
                    started = begin(waiting.popleft())
                    working[started.process.sentinel] = started
                for sentinel in wait(list(working)):
                    assert isinstance(sentinel, int)
                    yield ended(working.pop(sentinel))
        finally:
            stop(list(working.values()))


def begin(job: Job) -> Working:
    """Start a job; what it prints goes to its log."""
    # A job of a killed sweep needs a moment to notice that it is alone.
    environment = {"METARUN_WAIT": WAIT_FOR_LOCK, FOLDER: str(job.folder.absolute())}
    return Working(job, processes.start(job.words, environment, job.folder / LOG), time.monotonic())


def ended(work: Working) -> Outcome:
    """Return what became of a job whose process has ended."""
    work.process.join()
    code, log = work.process.exitcode, work.job.folder / LOG
    seconds = time.monotonic() - work.began
    manifest.killed(work.job.folder, work.process)
    if code == 0 and (work.job.folder / SUMMARY).exists():
        return Outcome(work.job, "finished", found(work.job.folder, seconds), log)
    return Outcome(work.job, state_of(code or 0), reason(code or 0, log), log)


def found(folder: Path, seconds: float) -> str:
    """Return "12.3 s, validation rmse 0.951"."""
    summary = read_json(folder / SUMMARY)
    value = objective(summary)
    return f"{seconds:.1f} s" + ("" if value is None else f", validation {summary['metric']} {value:.4f}")


def reason(code: int, log: Path) -> str:
    """Return the one line that says why a job did not finish."""
    if code < 0:
        return stopping.killed(-code)
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    said = [line.removeprefix("metarun: ") for line in lines if line.startswith("metarun: ")]
    return (said if code == 2 and said else lines or [f"exit code {code}"])[-1].strip()


def stop(working: list[Working]) -> None:
    """Ask jobs to save and leave, and wait for them; what does not leave is killed."""
    for work in working:
        if work.process.pid and work.process.is_alive():
            os.kill(work.process.pid, signal.SIGINT)
    until = time.monotonic() + PATIENCE
    for work in working:
        work.process.join(max(0.0, until - time.monotonic()))
        if work.process.is_alive():
            work.process.kill()
            work.process.join()
