"""Sending runs to SLURM: which go into one job, what sbatch is told, and where a run remembers its job."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from metarun.errors import MetarunError
from metarun.launchers.base import Job
from metarun.launchers.node import Node, Run, Work
from metarun.results import read_json

TICKET = ".slurm.json"
"""In a run's folder: the job that was sent for it."""
ARRAY = 1000
"""The most jobs in one array; SLURM's own MaxArraySize is 1001 unless a site has set it."""
COMMANDS = ("sbatch", "srun", "squeue", "scontrol")
_PLAIN = (
    "cpus_per_task", "gpus_per_node", "array_parallelism", "partition", "account", "qos", "constraint", "gres",
    "exclude", "comment", "cpus_per_gpu", "gpus_per_task", "mem_per_gpu", "mem_per_cpu", "signal_delay_s",
    "stderr_to_stdout",
)  # fmt: skip
"""Fields that submitit takes as they are."""


@dataclass(frozen=True)
class Site:
    """The fields of conf/hydra/launcher/submitit_slurm.yaml, which explains them."""

    name: str
    timeout_min: int
    max_num_timeout: int
    signal_delay_s: int
    nodes: int
    tasks_per_node: int
    cpus_per_task: int | None
    gpus_per_node: int | None
    runs_per_job: int | None
    mem_gb: float | None
    array_parallelism: int
    partition: str | None
    account: str | None
    qos: str | None
    constraint: str | None
    gres: str | None
    exclude: str | None
    comment: str | None
    cpus_per_gpu: int | None
    gpus_per_task: int | None
    mem_per_gpu: str | None
    mem_per_cpu: str | None
    setup: list[str]
    srun_args: list[str]
    additional_parameters: dict[str, Any]
    stderr_to_stdout: bool
    submitit_folder: str | None
    wait: bool

    @property
    def tasks(self) -> int:
        """The tasks of a job."""
        return self.nodes * self.tasks_per_node


class Ticket(NamedTuple):
    """The job that was sent for a run. home: the submission's folder."""

    id: str  # 12, or 12_3 of an array
    name: str
    home: Path

    @property
    def log(self) -> Path | None:
        """The log of the job's first task, None before it has begun."""
        found = [path for path in sorted(self.home.glob(f"{self.id}_0_log.*")) if path.stat().st_size]
        return found[-1] if found else None


def check_commands() -> None:
    """Raise MetarunError where SLURM or submitit is not installed."""
    missing = [command for command in COMMANDS if shutil.which(command) is None]
    if missing:
        raise MetarunError(
            f"hydra/launcher=submitit_slurm: there is no {', '.join(missing)} on this machine. Type it on a login node "
            "of the cluster (elsewhere: install slurm-client and the cluster's slurm.conf); to try it without a "
            "cluster: scripts/slurm_local.sh up"
        )
    try:
        import submitit  # noqa: F401
    except ImportError:
        raise MetarunError("hydra/launcher=submitit_slurm: needs submitit: pip install 'metarun[slurm]'") from None


def check_site(site: Site, ranks: int) -> None:
    """Raise MetarunError for fields that do not go together. ranks: of one run, trainer.devices x trainer.nodes."""
    where = "hydra.launcher."
    if site.signal_delay_s >= 60 * site.timeout_min:
        raise MetarunError(
            f"{where}signal_delay_s={site.signal_delay_s}: a job of timeout_min={site.timeout_min} would be told to "
            "save when it begins; lower it, or raise timeout_min"
        )
    if ranks > 1 and site.tasks != ranks:
        raise MetarunError(
            f"{where}tasks_per_node={site.tasks_per_node}, nodes={site.nodes}: the run has {ranks} ranks; leave both "
            "as they are, they follow trainer.devices and trainer.nodes"
        )
    if ranks > 1 and (site.runs_per_job or 1) > 1:
        raise MetarunError(f"{where}runs_per_job={site.runs_per_job}: a run over {ranks} devices has a job of its own")


def packed(jobs: Sequence[Job], site: Site, ranks: int) -> Iterator[list[Job]]:
    """Yield the runs of each SLURM job; with several tasks and runs of one device, one for each task by default."""
    size = site.runs_per_job or (site.tasks if ranks == 1 else 1)
    for first in range(0, len(jobs), size):
        yield list(jobs[first : first + size])


def send(jobs: Sequence[Job], site: Site, ranks: int, home: Path, accelerator: str) -> list[Ticket]:
    """Send the runs as one array (several beyond ARRAY jobs) and return the ticket of each run, in their order.

    Raises MetarunError with sbatch's own words where it refuses.
    """
    from submitit import SlurmExecutor

    home = home / uuid.uuid4().hex[:8]
    home.mkdir(parents=True)
    executor = SlurmExecutor(folder=home, max_num_timeout=site.max_num_timeout)
    executor.update_parameters(**parameters(site, ranks, accelerator))
    kept = {key: value for key, value in os.environ.items() if key.startswith("METARUN_")}
    tickets: list[Ticket] = []
    groups = list(packed(jobs, site, ranks))
    for first in range(0, len(groups), ARRAY):
        part = groups[first : first + ARRAY]
        works = [
            Work(
                [Run(list(job.words), job.folder.absolute()) for job in group], ranks == 1, home, Path.cwd(), kept,
                site.max_num_timeout, site.signal_delay_s / 2,
            )
            for group in part
        ]  # fmt: skip
        try:
            with contextlib.redirect_stderr(io.StringIO()):  # submitit says there what it raises
                sent = executor.map_array(Node(), works)
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            raise MetarunError(refusal(error)) from error
        for found, group in zip(sent, part, strict=True):
            for job in group:
                tickets.append(Ticket(str(found.job_id), site.name, home))
                note(job, tickets[-1])
    return tickets


def parameters(site: Site, ranks: int, accelerator: str) -> dict[str, Any]:
    """Return what submitit is told; None, where a field leaves the choice to the site, is left out."""
    given: dict[str, Any] = {name: getattr(site, name) for name in _PLAIN}
    if site.gpus_per_node is None and accelerator == "gpu" and not (site.gpus_per_task or site.gres):
        given["gpus_per_node"] = site.tasks_per_node
    threads = [f"export OMP_NUM_THREADS={site.cpus_per_task}"] if site.cpus_per_task else []
    # srun does not take this from sbatch. A rank that fails ends its run; a run that fails ends no other.
    own = [f"--cpus-per-task={site.cpus_per_task}"] if site.cpus_per_task else []
    own.append(f"--kill-on-bad-exit={int(ranks > 1)}")
    given.update(
        job_name=site.name,
        time=site.timeout_min,
        nodes=site.nodes,
        ntasks_per_node=site.tasks_per_node,
        mem=None if site.mem_gb is None else f"{int(1024 * site.mem_gb)}M",
        setup=[*threads, *site.setup],
        srun_args=[*own, *site.srun_args],
        additional_parameters={"requeue": True, **site.additional_parameters},
    )
    return {name: value for name, value in given.items() if value is not None}


def refusal(error: Exception) -> str:
    """Return why the jobs could not be sent, in sbatch's own words."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = [re.sub(r"^.*?(sbatch|slurm_\w+): (error|fatal): ", "", line) for line in lines if "error: " in line]
    words = "; ".join(dict.fromkeys(said or lines[-1:])) or type(error).__name__
    return (
        f"sbatch refuses the job: {words}. The site's fields are hydra.launcher.partition, account, qos, constraint..."
    )


def note(job: Job, ticket: Ticket) -> None:
    """Let a run's folder remember its job, which may be at work there by now and sweep away temporary files."""
    job.folder.mkdir(parents=True, exist_ok=True)
    new = job.folder / ".slurm.new"
    new.write_text(json.dumps({"job": ticket.id, "name": ticket.name, "home": str(ticket.home)}), encoding="utf-8")
    new.replace(job.folder / TICKET)


def ticket_of(job: Job) -> Ticket | None:
    """Return the job that was sent for a run, if any."""
    path = job.folder / TICKET
    if not path.exists():
        return None
    kept = read_json(path)
    return Ticket(kept["job"], kept["name"], Path(kept["home"]))


def on_own_disk(folder: Path) -> bool:
    """Return whether a folder surely is on this machine's own disk, where compute nodes cannot see it."""
    own = ("/tmp", "/var/tmp", "/dev/shm", "/run")
    return any(folder.absolute().is_relative_to(place) for place in own)


def ask(*command: str, seconds: float = 60.0) -> str | None:
    """Return what a SLURM command prints, None where it gives no answer."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
