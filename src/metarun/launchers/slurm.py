"""hydra/launcher=submitit_slurm: each run is a job of a SLURM cluster, sent as one array and followed from here.

Who follows may leave at any time: the jobs stay in the queue, and the same command joins them instead of sending a run
twice.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import OmegaConf

from metarun import config
from metarun.errors import MetarunError
from metarun.launchers import base, submission
from metarun.launchers.base import LOG, Job, Launch, Outcome
from metarun.launchers.node import result_of
from metarun.launchers.pool import found, reason
from metarun.launchers.submission import Site, Ticket
from metarun.overrides import group
from metarun.results import SUMMARY, read_json

OVER = {
    "BOOT_FAIL": "its node did not start",
    "CANCELLED": "cancelled",
    "COMPLETED": "the job has ended without a result",
    "DEADLINE": "its deadline has passed",
    "FAILED": "the job has failed",
    "NODE_FAIL": "its node was lost and the site does not requeue",
    "OUT_OF_MEMORY": "out of memory; hydra.launcher.mem_gb asks for more",
    "PREEMPTED": "preempted, and the site does not requeue",
    "REVOKED": "moved to another cluster",
    "TIMEOUT": "its time was over before it could save; hydra.launcher.signal_delay_s tells it earlier",
    "": "SLURM does not know the job any more",
}
"""States that a job does not leave, and what they mean; "" where neither squeue nor sacct know it."""
PATIENCE = 10.0
"""Seconds that the files of a job that is over may take to be seen here."""


class State(NamedTuple):
    """What SLURM says of a job."""

    name: str  # PENDING, RUNNING, ...
    why: str = ""  # it waits, in SLURM's word


class Slurm(Launch):
    """Sends the runs that no job works at, and follows all of them."""

    __module__ = "hydra_plugins.metarun"  # see launchers.PACKAGE

    def __init__(self, **fields: Any) -> None:
        plain: Any = OmegaConf.to_container(OmegaConf.create(fields), resolve=True)
        self.site = Site(**plain)

    def perform(self, jobs: list[Job]) -> Iterator[Outcome]:
        """Send, join and follow; yield the outcome of each run as it ends."""
        submission.check_commands()
        shape = shape_of(jobs)
        submission.check_site(self.site, shape.ranks)
        states = queue()
        if states is None:
            raise MetarunError(
                "squeue does not answer, so nobody can tell which runs are in the queue already; try again"
            )
        tickets = [submission.ticket_of(job) for job in jobs]
        joined = {job.number: t for job, t in zip(jobs, tickets, strict=True) if t and at_work(t, job, states)}
        left = [job for job in jobs if job.number not in joined]
        following = dict(joined)
        if left:
            sent = submission.send(left, self.site, shape.ranks, self.home(jobs), shape.accelerator)
            following |= {job.number: ticket for job, ticket in zip(left, sent, strict=True)}
        announce(jobs, joined, following)
        if not self.site.wait:
            yield from (Outcome(job, "queued", f"job {following[job.number].id}") for job in jobs)
            return
        try:
            yield from follow(jobs, following)
        except KeyboardInterrupt:
            ids = " ".join(dict.fromkeys(ticket.id.split("_")[0] for ticket in following.values()))
            say(f"\nThe jobs stay in the queue, and the same command joins them. To cancel them: scancel {ids}")
            raise

    def home(self, jobs: Sequence[Job]) -> Path:
        """Return the folder of what is sent. Raises MetarunError where it cannot be written."""
        beside = Path(os.path.commonpath([job.folder.parent for job in jobs])) / ".slurm"
        home = Path(self.site.submitit_folder or beside).expanduser().absolute()
        try:
            home.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MetarunError(f"{home}: cannot be written ({error.strerror}); set paths.outputs") from None
        if submission.on_own_disk(home):
            say(f"{home} is on this machine's own disk, which other nodes do not see; paths.outputs names another")
        return home


class Shape(NamedTuple):
    """What a run asks of a cluster."""

    devices: Any  # processes on each node
    nodes: Any
    accelerator: str

    @property
    def ranks(self) -> int:
        """The processes of a run."""
        return int(self.devices * self.nodes)


def shape_of(jobs: Sequence[Job]) -> Shape:
    """Return what each run asks of the cluster. Raises MetarunError for a sweep over that."""
    shapes = {}
    for job in jobs:
        key = tuple(word for word in job.words if group(word).split(".")[0] in ("trainer", "experiment"))
        if key not in shapes:
            trainer = config.compose(job.words).trainer
            shapes[key] = Shape(trainer.get("devices", 1), trainer.get("nodes", 1), str(trainer.accelerator))
    kinds = set(shapes.values())
    if len(kinds) > 1:
        swept = ", ".join(sorted(f"{kind.accelerator} {kind.devices} x {kind.nodes}" for kind in kinds))
        raise MetarunError(
            f"trainer.accelerator, devices x nodes: {swept} in one sweep; the jobs of an array are alike, "
            "give each its own command"
        )
    (shape,) = kinds
    if shape.devices == "auto":
        raise MetarunError("trainer.devices=auto: on a cluster say how many; the job asks SLURM for them")
    return shape


def announce(jobs: Sequence[Job], joined: dict[int, Ticket], following: dict[int, Ticket]) -> None:
    """Say which jobs there are and where their logs are."""
    sent = dict.fromkeys(ticket.id for number, ticket in following.items() if number not in joined)
    if joined:
        ids = ", ".join(dict.fromkeys(ticket.id for ticket in joined.values()))
        say(f"{len(joined)} of {len(jobs)} runs are in the queue already and joined: job {ids}")
    if sent:
        arrays = " ".join(dict.fromkeys(id.split("_")[0] for id in sent))
        what = f"job {arrays}" if len(sent) == 1 else f"array {arrays} of {len(sent)} jobs"
        say(f"sent {counted(len(jobs) - len(joined), 'run')} as {what}")
    homes = ", ".join(dict.fromkeys(str(ticket.home) for ticket in following.values()))
    folder = os.path.commonpath([job.folder for job in jobs])
    print(
        f"logs: of a run {folder}/{'.../' if len(jobs) > 1 else ''}{LOG}, of a job {homes}", file=sys.stderr, flush=True
    )


def counted(number: int, what: str) -> str:
    """Return "1 run" or "2 runs"."""
    return f"{number} {what}{'s' * (number != 1)}"


def say(text: str) -> None:
    """Print a line for who follows."""
    print(text, file=sys.stderr, flush=True)


# ---------------------------------------------------------------------- what SLURM says


def queue() -> dict[str, State] | None:
    """Return the states of this user's jobs by id, those that have ended lately included; None without an answer."""
    text = submission.ask("squeue", "-h", "-r", "-t", "all", "-u", str(os.getuid()), "-o", "%i|%T|%r|%j")
    if text is None:
        return None
    found = {}
    for line in text.splitlines():
        parts = line.split("|", 3)
        if len(parts) == 4:
            id, name, why, job = parts
            found[f"{id}|{job}"] = State(name, why)
    return found


def state_of(ticket: Ticket, states: dict[str, State]) -> State:
    """Return the state of a job: squeue's, or the accounting's where squeue has forgotten it."""
    known = states.get(f"{ticket.id}|{ticket.name}")
    if known:
        return known
    text = submission.ask("sacct", "-n", "-P", "-X", "-j", ticket.id, "-o", "State") or ""
    return State(text.split()[0] if text.split() else "")


def at_work(ticket: Ticket, job: Job, states: dict[str, State]) -> bool:
    """Return whether a run waits or runs as a job; an id that a job of another name has by now is not ours."""
    known = states.get(f"{ticket.id}|{ticket.name}")
    return known is not None and known.name not in OVER and not result_of(ticket.home, job.folder).exists()


# ---------------------------------------------------------------------- following


def follow(jobs: Sequence[Job], tickets: dict[int, Ticket]) -> Iterator[Outcome]:
    """Yield the outcome of each run as it ends, with a line now and then about the others."""
    left, since, told, pause, began = list(jobs), dict[int, float](), "", 1.0, time.monotonic()
    while left:
        states = queue()
        for job in list(left):
            ticket = tickets[job.number]
            state = None if states is None else state_of(ticket, states)
            over = state is not None and state.name in OVER
            began_to_end = since.setdefault(job.number, time.monotonic()) if over else since.pop(job.number, None)
            late = began_to_end is not None and time.monotonic() - began_to_end > PATIENCE
            outcome = ended(job, ticket, state if over and late else None, time.monotonic() - began)
            if outcome:
                left.remove(job)
                pause = 1.0
                yield outcome
        if left:
            line = (
                "SLURM does not answer; waiting"
                if states is None
                else summary([tickets[j.number] for j in left], states)
            )
            if line != told:
                say(line)
                told, pause = line, 1.0
            time.sleep(pause)
            pause = min(15.0, 1.3 * pause)


def ended(job: Job, ticket: Ticket, over: State | None, seconds: float) -> Outcome | None:
    """Return what became of a run, None while it is under way. over: the last state of a job that is over."""
    log = job.folder / LOG
    if (job.folder / SUMMARY).exists():
        return Outcome(job, "finished", found(job.folder, seconds), log)
    path = result_of(ticket.home, job.folder)
    if path.exists():
        kept = read_json(path)
        code, log = int(kept["code"]), Path(kept.get("log", log))
        return Outcome(job, base.state_of(code), kept.get("reason") or reason(code, log), log)
    if over is None:
        return None
    why = OVER[over.name]
    written = ticket.log or (log if log.exists() else None)
    if written is None and over.name != "CANCELLED":
        why += f"; it has left no log, perhaps its node does not see {ticket.home}"
    return Outcome(job, "stopped" if over.name == "CANCELLED" else "failed", f"{why} (job {ticket.id})", written)


def summary(tickets: Sequence[Ticket], states: dict[str, State]) -> str:
    """Return "slurm: 3 pending (Resources), 2 running" of the runs that are left."""
    found = Counter(
        f"{state.name.lower()}{f' ({state.why})' if state.name == 'PENDING' and state.why not in ('', 'None') else ''}"
        for state in (states.get(f"{ticket.id}|{ticket.name}", State("ending")) for ticket in tickets)
    )
    return "slurm: " + ", ".join(f"{count} {name}" for name, count in sorted(found.items()))
