"""On a real SLURM: whatever ends a job early, it goes back into the queue and ends with the bits of one left alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from on_cluster import SAVE_EVERY, STEPS, Cluster, OnCluster, here, kill, lose_node
from small_run import differing

pytestmark = pytest.mark.slow
RANKS = ["trainer=ddp_cpu", "trainer.devices=2"]
NODES = ["trainer=ddp_cpu", "trainer.devices=1", "trainer.nodes=2"]
ALONE = "+hydra.launcher.additional_parameters.exclusive=true"


@pytest.fixture(scope="module")
def disturbed(
    cluster: Cluster, few_ratings: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[dict[str, OnCluster]]:
    """Runs under way at the same time, each disturbed in its own way as soon as it trains."""
    home = tmp_path_factory.mktemp("disturbed")
    all_of_them = any(item.get_closest_marker("nightly") for item in request.session.items)

    def start(name: str, pause: float, *words: str) -> OnCluster:
        return OnCluster(cluster, home / name, few_ratings, pause, *words)

    # Those that are disturbed later are the slower ones, so that none has ended before its turn.
    ways: dict[str, tuple[Any, ...]] = {"ranks": (0.3, *RANKS), "USR1": (0.8,)}
    if all_of_them:
        ways = {
            "lost": (0.3, ALONE),
            "slurmd": (0.7, ALONE),
            "preempted": (0.3, ALONE, "hydra.launcher.partition=low"),
            **ways,
            "USR2": (0.8,),
            "TERM": (0.8, "resume=never"),  # it begins twice, in one folder
            "peer": (0.3, ALONE, *NODES),
        }
    runs = {name: start(name, *how) for name, how in ways.items()}
    for name, run in runs.items():
        run.reach(7)
        if name == "lost":
            run.reach(SAVE_EVERY + 3)
            lose_node(cluster, node_of(run), run.ticket())
        elif name == "peer":
            run.reach(2 * SAVE_EVERY + 6)
            lose_node(cluster, node_of(run, -1), run.ticket())
        elif name == "slurmd":
            kill(int((cluster.folder / "run" / f"slurmd.{node_of(run)}.pid").read_text()))
        elif name == "preempted":
            cluster.ask("sbatch", "-w", node_of(run), "--exclusive", "--output=/dev/null", "--wrap=sleep 2")
        else:
            signal = "USR2" if name == "ranks" else name
            cluster.ask("scancel", f"--signal={signal}", run.ticket())
    yield runs
    for run in runs.values():
        run.abandon()


def node_of(run: OnCluster, number: int = 0) -> str:
    """Return a node where a run's job is."""
    return run.cluster.ask("scontrol", "show", "hostnames", run.cluster.job(run.ticket())["NodeList"]).split()[number]


@pytest.mark.parametrize(
    "name", ["USR1", *(pytest.param(name, marks=pytest.mark.nightly) for name in ("USR2", "TERM", "preempted"))]
)
def test_a_job_told_to_leave_repeats_nothing(
    name: str, disturbed: dict[str, OnCluster], left_alone: dict[str, Any]
) -> None:
    run = disturbed[name]
    found = run.end()
    assert int(run.cluster.job(run.ticket())["Restarts"]) == 1, run.told()
    assert differing(found, left_alone) == []
    steps = run.steps()
    assert len(set(steps)) == 2, "two processes have worked on it"
    assert len(steps) == STEPS, "the step under way was saved"
    assert "saved, and back in the queue" in run.told()


@pytest.mark.nightly
def test_a_node_whose_slurmd_dies_loses_nothing(disturbed: dict[str, OnCluster], left_alone: dict[str, Any]) -> None:
    """Its process goes on, unseen, and keeps the one that takes its place out of the folder."""
    run = disturbed["slurmd"]
    found = run.end()
    assert differing(found, left_alone) == []
    assert len(run.steps()) <= STEPS + SAVE_EVERY, run.told()


@pytest.mark.nightly
def test_a_node_that_is_lost_costs_what_was_not_saved(
    disturbed: dict[str, OnCluster], left_alone: dict[str, Any]
) -> None:
    run = disturbed["lost"]
    found = run.end()
    assert int(run.cluster.job(run.ticket())["Restarts"]) == 1, run.told()
    assert differing(found, left_alone) == []
    assert len(set(run.steps())) == 2
    assert STEPS < len(run.steps()) <= STEPS + SAVE_EVERY, run.told()


@pytest.mark.nightly
def test_a_run_that_loses_one_of_its_nodes_goes_back_with_what_it_has_saved(
    disturbed: dict[str, OnCluster], few_ratings: Path, tmp_path: Path
) -> None:
    run = disturbed["peer"]
    found = run.end()
    assert int(run.cluster.job(run.ticket())["Restarts"]) == 1, run.told()
    assert 2 * STEPS < len(run.steps()) <= 2 * (STEPS + SAVE_EVERY), run.told()
    alone = here(few_ratings, tmp_path, *RANKS)
    assert [name for name in differing(found, alone) if name != "summary"] == [], "its id: it has other words"


def test_a_run_of_two_tasks_ends_with_the_bits_of_one_on_this_machine(
    disturbed: dict[str, OnCluster], few_ratings: Path, tmp_path: Path
) -> None:
    run = disturbed["ranks"]
    found = run.end()
    assert int(run.cluster.job(run.ticket())["Restarts"]) == 1, run.told()
    assert (len(run.steps()), len(set(run.steps()))) == (2 * STEPS, 4), "two tasks, twice, and no step repeated"
    assert differing(found, here(few_ratings, tmp_path, *RANKS)) == []
