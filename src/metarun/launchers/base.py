"""What the launchers share: the jobs of a sweep, those that are done already, and what became of the others."""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from metarun import manifest
from metarun.config import job_folder
from metarun.errors import MetarunError
from metarun.overrides import SPACE, group, parse
from metarun.results import SUMMARY, objective, read_json

LOG = "metarun.log"


class Job(NamedTuple):
    """One point of a sweep: `metarun WORDS`, which works in `folder`."""

    number: int  # from 1 on, within the command
    words: tuple[str, ...]
    folder: Path
    label: str  # what tells it from the other jobs


class Outcome(NamedTuple):
    """What became of a job."""

    job: Job
    state: str  # finished | refused | failed | stopped | queued
    reason: str = ""  # one line; empty where it finished
    log: Path | None = None


CODES = {"failed": 1, "refused": 2, "stopped": 130}
"""The exit code of a command with a job in such a state, the first that applies."""


def state_of(code: int) -> str:
    """Return the state of a job that did not finish, whose process has ended with this exit code."""
    return "stopped" if code > 128 else "refused" if code == CODES["refused"] else "failed"


ended: list[Outcome] = []
"""The outcomes of this command, in the order in which they came."""
fixed: set[str] = set()
"""What all jobs of this command have in common, as they spell it."""


def begin(words: Sequence[str]) -> None:
    """Forget the jobs of an earlier command and remember what those of this one have in common."""
    ended.clear()
    fixed.clear()
    parsed = [parse(word) for word in words]
    fixed.update(spelled(override) for override in parsed if not override.is_sweep_override())


class Launch(Launcher):
    """A launcher that runs each job as a command of its own; a subclass says where."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep the config of the sweep; the jobs compose their own."""
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs that are not finished and return, for each, its objective (None where it has none).

        Two that ask for the same run are one job.
        """
        jobs = described(job_overrides, initial_job_idx)
        try:
            for outcome in self.outcomes(list({job.folder: job for job in jobs}.values())):
                ended.append(outcome)
        except MetarunError as error:  # Hydra would answer with a traceback
            print(f"metarun: {error}", file=sys.stderr)
            raise SystemExit(CODES["refused"]) from error
        return [returned(job) for job in jobs]

    def outcomes(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """Yield the outcomes of different jobs: of those that have a run first, then of the others as they end."""
        from metarun.launchers.earlier import Earlier  # it needs what stands here

        earlier = Earlier()
        left = {job: earlier.left(job) for job in jobs if (job.folder / SUMMARY).exists()}
        done = [job for job, found in left.items() if found.state == "finished"]
        refused = [Outcome(job, "refused", found.reason) for job, found in left.items() if found.reason]
        for job in done:
            with suppress(MetarunError):  # killed behind its last file, it has not closed its manifest
                manifest.settle(job.folder)
            yield Outcome(job, "finished")
        if done:
            print(f"{len(done)} of {len(jobs)} jobs were finished before", file=sys.stderr)
        gone = {*done, *(outcome.job for outcome in refused)}
        waiting = [job for job in jobs if job not in gone]
        for outcome in (*refused, *(self.perform(waiting) if waiting else ())):
            yield outcome
            print(line(outcome, len(ended)), file=sys.stderr, flush=True)

    @abstractmethod
    def perform(self, jobs: list[Job]) -> Iterator[Outcome]:
        """Run the jobs and yield the outcome of each as it ends; one that fails does not end the others."""


def described(job_overrides: Sequence[Sequence[str]], first: int) -> list[Job]:
    """Return the jobs of a batch, each with its folder and what tells it from the others."""
    jobs = []
    for number, overrides in enumerate(job_overrides, start=first + 1):
        words = tuple(word for word in overrides if group(word) != SPACE)
        folder = job_folder(words)
        label = " ".join(word for word in words if spelled(parse(word)) not in fixed)
        jobs.append(Job(number, words, folder, label or folder.name))
    return jobs


def spelled(override: Override) -> str:
    """Return an override in one spelling."""
    sign = "~" if override.is_delete() else ""
    return f"{sign}{override.key_or_group}={override.get_value_element_as_str()}"


def returned(job: Job) -> JobReturn:
    """Return what a sweeper gets of a job: the value that it searches by, from summary.json."""
    done = {outcome.job.folder for outcome in ended if outcome.state == "finished"}
    value: Any = objective(read_json(job.folder / SUMMARY)) if job.folder in done else None
    return JobReturn(overrides=list(job.words), status=JobStatus.COMPLETED, _return_value=value)


def line(outcome: Outcome, count: int) -> str:
    """Return "[12] seed=3: failed, RuntimeError: ... (log)" of an outcome."""
    return f"[{count}] {told(outcome)}"


def told(outcome: Outcome) -> str:
    """Return what became of a job, with its log where it did not finish."""
    why = f", {outcome.reason}" if outcome.reason else ""
    log = f" (log: {outcome.log})" if outcome.log and outcome.state != "finished" else ""
    return f"{outcome.job.label}: {outcome.state}{why}{log}"


def close() -> int:
    """Say what became of the jobs of this command, those that did not finish last; return the exit code."""
    if not ended:
        return 0
    left = [outcome for outcome in ended if outcome.state != "finished"]
    print(f"{len(ended) - len(left)} of {len(ended)} jobs finished.", file=sys.stderr)
    for outcome in left:
        print(f"  {told(outcome)}", file=sys.stderr)
    states = {outcome.state for outcome in left}
    return next((code for state, code in CODES.items() if state in states), 0)
