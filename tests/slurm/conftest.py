"""A real SLURM on this machine, and what a run leaves that nothing disturbs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes import Fakes
from on_cluster import SCRIPT, Cluster, free_port, here, missing

from metarun.launchers import slurm


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Eight nodes of four cores that do not exist."""
    if os.geteuid() or sys.platform != "linux" or not (shutil.which("slurmctld") or shutil.which("apt-get")):
        missing("a local SLURM needs root, Linux, and SLURM or apt-get")
    folder = Path(tempfile.mkdtemp(prefix="metarun-slurm-"))
    shape = ["--nodes", "8", "--cpus", "4", "--dir", str(folder), "--port", str(free_port())]
    up = subprocess.run([str(SCRIPT), "up", *shape], capture_output=True, text=True, timeout=250, check=False)
    if up.returncode:
        missing(f"no local SLURM: {up.stderr.strip().splitlines()[-1:]}")
    yield Cluster(folder)
    down = subprocess.run([str(SCRIPT), "down", "--dir", str(folder)], timeout=120, check=False)
    assert down.returncode == 0
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def left_alone(few_ratings: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the slow run leaves on this machine where nothing disturbs it."""
    return here(few_ratings, tmp_path_factory.mktemp("left_alone"))


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fakes:
    """Commands of a cluster that is not there."""
    folder = tmp_path / "fakes"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}/bin:/usr/bin:/bin")
    monkeypatch.setattr(slurm, "PATIENCE", 0.0)
    return Fakes(folder)
