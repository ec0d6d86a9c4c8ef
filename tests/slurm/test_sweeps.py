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


def test_a_sweep_of_2_by_3_is_one_array(
    sweep: Any, words: list[str], tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    points = ["seed=0,1", "pipeline.meta.lr=0.001,0.002,0.004"]
    code, text = sweep(*points)
    assert code == 0, text
    assert "sent 6 runs as array " in text
    assert "6 of 6 jobs finished" in text
    folders = sorted(tmp_path.glob("outputs/run/*/summary.json"))
    assert len(folders) == 6
    jobs = {json.loads((path.parent / ".slurm.json").read_text())["job"] for path in folders}
    assert len(jobs) == 6
    assert len({id.split("_")[0] for id in jobs}) == 1
    (same,) = [path.parent for path in folders if is_default(path.parent)]
    # The run without a word about seed and rate has another id, and all else is the same.
    expected = {key: value for key, value in undisturbed.items() if key != "summary"}
    assert differing({key: value for key, value in bits(same).items() if key != "summary"}, expected) == []
    code, text = sweep(*points)
    assert code == 0
    assert "6 of 6 jobs were finished before" in text
    assert "sent " not in text.replace("6 runs", "")[text.index("6 of 6 jobs were") :]


def is_default(folder: Path) -> bool:
    """Return whether a run's values are those of the config."""
    config = json.loads((folder / "manifest.json").read_text())["config"]
    return bool(config["seed"] == 0 and config["pipeline"]["meta"]["lr"] == 0.002)


def test_runs_share_a_job_and_one_that_fails_ends_no_other(sweep: Any, tmp_path: Path) -> None:
    code, text = sweep(
        "seed=5,6", "pipeline.meta.lr=0.002,1e30", "hydra.launcher.tasks_per_node=2", "hydra.launcher.runs_per_job=4"
    )
    assert code == 2, text
    assert "sent 4 runs as job " in text
    assert len(list(tmp_path.glob("outputs/run/*/summary.json"))) == 2
    failed = [line for line in text.splitlines() if "Lower pipeline.meta.lr" in line and "metarun.log" in line]
    assert len(failed) >= 2, text


def test_an_unknown_partition_is_told_in_sbatchs_words(sweep: Any) -> None:
    line = complaint(sweep("hydra.launcher.partition=nowhere"))
    assert "sbatch refuses the job: invalid partition specified: nowhere" in line
