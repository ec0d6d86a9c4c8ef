"""Sweeps on a real SLURM: an array, runs that share a job, one that fails, and what is not sent again."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from on_cluster import Cluster, shell
from small_run import bits, command, complaint, differing

pytestmark = pytest.mark.slow


@pytest.fixture
def sweep(cluster: Cluster, words: list[str], tmp_path: Path) -> Any:
    """Type a command of a user of the cluster."""

    def typed(*more: str) -> tuple[int, str]:
        changes = [partial(shell, {**cluster.environment, "PYTHONWARNINGS": ""})]
        return command([*words, "hydra/launcher=submitit_slurm", *more], tmp_path, changes=changes)

    return typed


def test_a_sweep_of_2_by_3_is_one_array_and_a_run_that_fails_ends_no_other(
    sweep: Any, tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    code, text = sweep("seed=0,1", "pipeline.meta.lr=0.001,0.002,1e30")
    assert code == 2, text
    assert "sent 6 runs as array " in text
    assert "4 of 6 jobs finished" in text
    failed = [line for line in text.splitlines() if line.startswith("  ")]
    assert len(failed) == 2
    assert all("lr=1e+30: refused" in line and "Lower pipeline.meta.lr" in line for line in failed)
    assert all("metarun.log" in line for line in failed)
    jobs = {json.loads(path.read_text())["job"] for path in tmp_path.glob("outputs/run/*/.slurm.json")}
    assert len(jobs) == 6
    assert len({id.split("_")[0] for id in jobs}) == 1
    (same,) = [path.parent for path in tmp_path.glob("outputs/run/*/summary.json") if is_default(path.parent)]
    # The run without a word about seed and rate has another id, and all else is the same.
    expected = {key: value for key, value in undisturbed.items() if key != "summary"}
    assert differing({key: value for key, value in bits(same).items() if key != "summary"}, expected) == []


def is_default(folder: Path) -> bool:
    """Return whether a run's values are those of the config."""
    config = json.loads((folder / "manifest.json").read_text())["config"]
    return bool(config["seed"] == 0 and config["pipeline"]["meta"]["lr"] == 0.002)


@pytest.mark.nightly
def test_runs_share_a_job_and_what_is_finished_is_not_sent_again(sweep: Any, tmp_path: Path) -> None:
    points = ["seed=5,6,7", "hydra.launcher.tasks_per_node=2", "hydra.launcher.runs_per_job=3"]
    code, text = sweep(*points)
    assert code == 0, text
    assert "sent 3 runs as job " in text
    assert len(list(tmp_path.glob("outputs/run/*/summary.json"))) == 3
    code, again = sweep(*points)
    assert code == 0, again
    assert "3 of 3 jobs were finished before" in again
    assert "sent " not in again


def test_an_unknown_partition_is_told_in_sbatchs_words(sweep: Any) -> None:
    line = complaint(sweep("hydra.launcher.partition=nowhere"))
    assert "sbatch refuses the job: invalid partition specified: nowhere" in line
