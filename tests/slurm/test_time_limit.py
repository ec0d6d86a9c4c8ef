"""The time limit of a real SLURM, whose clock counts in minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from on_cluster import STEPS, Cluster, OnCluster
from small_run import differing, ended

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(600)]
LIMIT = ["hydra.launcher.timeout_min=2", "hydra.launcher.signal_delay_s=60"]


def test_a_job_goes_back_before_its_time_is_over(
    cluster: Cluster, few_ratings: Path, tmp_path: Path, left_alone: dict[str, Any]
) -> None:
    run = OnCluster(cluster, tmp_path, few_ratings, 2.5, *LIMIT)
    run.process.join(400.0)
    assert differing(run.end(), left_alone) == []
    assert int(cluster.job(run.ticket())["Restarts"]) >= 1, run.told()
    assert len(run.steps()) == STEPS, "nothing is repeated"


def test_a_job_whose_time_was_over_too_often_ends_and_says_so(
    cluster: Cluster, few_ratings: Path, tmp_path: Path
) -> None:
    run = OnCluster(cluster, tmp_path, few_ratings, 5.0, *LIMIT, "hydra.launcher.max_num_timeout=0")
    run.process.join(300.0)
    assert ended(run.process) == 130, run.told()
    assert "its time was over 1 times; hydra.launcher.max_num_timeout or timeout_min allow more" in run.told()
    assert int(cluster.job(run.ticket())["Restarts"]) == 0
