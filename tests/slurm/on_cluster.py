"""Runs on a real SLURM of this machine, which can be watched and disturbed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import pytest
from small_run import SMALL, begin_command, bits, command, ended, folder_of, said

HERE = Path(__file__).parent
SCRIPT = HERE.parents[1] / "scripts" / "slurm_local.sh"
STEPS, SAVE_EVERY = 40, 10
SLOW = [
    *SMALL, "strategy=meta/slow", "pipeline.rounds=1", f"pipeline.meta.steps={STEPS}",
    f"pipeline.save_every={SAVE_EVERY}", "evaluate.against=[baseline/constant]",
]  # fmt: skip

SLOWLAB = {
    "METARUN_CONF": str(HERE / "slowlab" / "conf"), "METARUN_TRUST": "slowlab", "PYTHONWARNINGS": "",
    "PYTHONPATH": f"{HERE}:{os.environ.get('PYTHONPATH', '')}", "MASTER_ADDR": "127.0.0.1",
}  # fmt: skip


def missing(why: str) -> NoReturn:
    """Skip, or fail where METARUN_SLURM says that there has to be one."""
    if os.environ.get("METARUN_SLURM") == "1":
        pytest.fail(why)
    pytest.skip(f"{why} (METARUN_SLURM=1 requires it)")


def free_port() -> int:
    """Return the first of the ports that a small cluster takes, all of them free now."""
    for base in range(27000 + os.getpid() % 1000 * 20, 60000, 20):
        taken = False
        for port in range(base, base + 20):
            with socket.socket() as probe:
                taken = taken or probe.connect_ex(("127.0.0.1", port)) == 0
        if not taken:
            return base
    raise AssertionError("no free ports")


class Cluster:
    """A running SLURM: its folder, and its commands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {"SLURM_CONF": str(folder / "slurm.conf")}

    def ask(self, *words: str) -> str:
        """Return what a SLURM command prints."""
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=60, env={**os.environ, **self.environment}, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def job(self, id: str) -> dict[str, str]:
        """Return what SLURM knows of a job."""
        return dict(re.findall(r"(\w+)=(\S*)", self.ask("scontrol", "-o", "show", "job", id)))


def shell(variables: dict[str, str]) -> None:
    """Set what a user has set before the command."""
    os.environ.update(variables)
    sys.path.insert(0, str(HERE))


class OnCluster:
    """A slow run that was given to the cluster by one command, which follows it."""

    def __init__(self, cluster: Cluster, home: Path, data: Path, pause: float, *words: str) -> None:
        self.cluster, self.home, self.log = cluster, home, home / "slow"
        home.mkdir(parents=True, exist_ok=True)
        self.words = [*SLOW, f"paths.data={data}", f"paths.outputs={home}/outputs", "hydra/launcher=submitit_slurm"]
        self.words += words
        self.variables = {
            **cluster.environment, **SLOWLAB, "SLOWLAB_STEPS": str(self.log), "SLOWLAB_PAUSE": str(pause)
        }  # fmt: skip
        self.process = self.begin()

    def begin(self) -> Any:
        """Type the command."""
        return begin_command(self.words, self.home, changes=[partial(shell, self.variables)])

    def steps(self) -> list[str]:
        """Return the processes of all outer steps so far."""
        return self.log.read_text(encoding="utf-8").split() if self.log.exists() else []

    def wait_for(self, ready: Callable[[], bool], what: str, seconds: float = 120.0) -> None:
        """Wait until something is the case."""
        until = time.monotonic() + seconds
        while not ready():
            assert self.process.is_alive(), f"it has ended before {what}: {self.told()}"
            assert time.monotonic() < until, f"no {what}: {self.told()}"
            time.sleep(0.1)

    def reach(self, step: int) -> None:
        """Wait until so many steps were taken."""
        self.wait_for(lambda: len(self.steps()) >= step, f"step {step}")

    def ticket(self) -> str:
        """Return the id of its job."""
        (path,) = self.home.glob("outputs/*/*/.slurm.json")
        return str(json.loads(path.read_text(encoding="utf-8"))["job"])

    def abandon(self) -> None:
        """End the command, if a test that failed has left it."""
        with contextlib.suppress(ValueError):  # closed: it has ended
            self.process.kill()

    def told(self) -> str:
        """Return everything that was said: by the command, by the run, by the job."""
        logs = sorted([*self.home.glob("outputs/*/*/metarun*.log"), *self.home.glob("outputs/*/.slurm/*/*.out")])
        return "\n".join([said(self.home), *(path.read_text(encoding="utf-8") for path in logs)])

    def end(self) -> dict[str, Any]:
        """Wait for the command and return what the run has left, bit by bit."""
        assert ended(self.process) == 0, self.told()
        return bits(folder_of(self.home))


def here(data: Path, home: Path, *words: str) -> dict[str, Any]:
    """Return what the slow run leaves on this machine where nothing disturbs it."""
    variables = {**SLOWLAB, "SLOWLAB_STEPS": str(home / "slow"), "SLOWLAB_PAUSE": "0"}
    typed = [*SLOW, f"paths.data={data}", f"paths.outputs={home}/outputs", *words]
    code, text = command(typed, home, changes=[partial(shell, variables)])
    assert code == 0, text
    return bits(folder_of(home))


def kill(pid: int) -> None:
    """End a process as a power cut does."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def parents() -> dict[int, tuple[int, str]]:
    """Return the parent and the command line of every process."""
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            stat = (place / "stat").read_text().rpartition(")")[2].split()
            found[int(place.name)] = int(stat[1]), (place / "cmdline").read_text().replace("\0", " ")
    return found


def lose_node(cluster: Cluster, node: str, job: str) -> None:
    """Let a node and all that its job has started there be gone from one moment to the next."""
    processes = parents()
    steps = [[pid] for pid, (_, line) in processes.items() if line.startswith(f"slurmstepd: [{job}.")]
    for step in steps:
        for pid in step:
            step += [child for child, (parent, _) in processes.items() if parent == pid]
    lost = [step for step in steps if any(works_on(node, pid) for pid in step)]
    assert lost, "no step of this job runs there"
    for pid in [
        int((cluster.folder / "run" / f"slurmd.{node}.pid").read_text()),
        *(pid for step in lost for pid in step),
    ]:
        kill(pid)


def works_on(node: str, pid: int) -> bool:
    """Return whether a process was started by a virtual node; all of them are on this machine."""
    with contextlib.suppress(OSError):
        return f"SLURMD_NODENAME={node}\0" in Path(f"/proc/{pid}/environ").read_text(errors="replace")
    return False
