"""What a job does on its node: its share of the runs, and what happens when it is told to leave."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes import Fakes

from metarun.launchers import node
from metarun.launchers.node import Place, Run, Task, Work


class Left(Exception):
    """The process would have ended here, with this exit code."""


def work(runs: list[Run], home: Path, spread: bool = True, most: int = 1) -> Work:
    """Return a job."""
    return Work(runs, spread, home, home, {}, most, 0.1)


@pytest.fixture
def leave(fakes: Fakes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Let a task be told to leave, and return its exit code."""

    def exits(code: int) -> None:
        raise Left(code)

    monkeypatch.setattr(node, "_exit", exits)
    monkeypatch.setattr(node, "GONE", 0.5)

    def told(number: int, restart: int = 0, rank: int = 0, tasks: int = 1) -> int:
        before = [signal.getsignal(n) for n in node.stopping.SIGNALS]
        try:
            task = Task(work([Run([], tmp_path / "runs" / "1")], tmp_path), Place("77", rank, rank, tasks, restart))
            with pytest.raises(Left) as found:
                task.leave(number)
        finally:
            for n, handler in zip(node.stopping.SIGNALS, before, strict=True):
                signal.signal(n, handler)
        return int(found.value.args[0])

    return told


@pytest.mark.parametrize("number", node.stopping.SIGNALS)
def test_a_job_told_to_leave_goes_back_into_the_queue(leave: Callable[..., int], fakes: Fakes, number: int) -> None:
    assert leave(number) == 128 + number
    assert "requeue 77" in fakes.read("asked")


def test_the_first_task_that_is_not_done_sends_the_job_back(
    leave: Callable[..., int], fakes: Fakes, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    leave(signal.SIGUSR1, rank=1, tasks=2)
    assert not fakes.read("asked"), "that is the first task's, which has still to save"
    (marks / "77.0.0.done").touch()
    leave(signal.SIGUSR1, rank=1, tasks=2)
    assert "requeue 77" in fakes.read("asked")
    assert (marks / "77.0.1.requeued").exists()


@pytest.mark.parametrize("state", ["CANCELLED", "COMPLETING", "TIMEOUT"])
def test_a_cancelled_job_stays_cancelled(leave: Callable[..., int], fakes: Fakes, state: str) -> None:
    fakes.says("job", f"JobId=77 JobState={state} Reason=None")
    assert leave(signal.SIGTERM) == 128 + signal.SIGTERM
    assert "requeue" not in fakes.read("asked")


def test_time_limits_are_counted_and_preemptions_are_not(
    leave: Callable[..., int], fakes: Fakes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert leave(signal.SIGUSR2, 0) == 128 + signal.SIGUSR2
    for restart in (1, 2, 3):
        assert leave(signal.SIGTERM, restart) == 128 + signal.SIGTERM
    assert leave(signal.SIGUSR2, 4) == 1
    assert "its time was over 2 times; hydra.launcher.max_num_timeout" in capsys.readouterr().out
    kept = json.loads(node.result_of(tmp_path, tmp_path / "runs" / "1").read_text())
    assert kept["reason"].startswith("its time was over 2 times")
    assert fakes.read("asked").count("requeue") == 4


def test_tasks_share_the_runs_of_a_job(tmp_path: Path) -> None:
    runs = [Run([str(n)], tmp_path / str(n)) for n in range(5)]

    def shared(spread: bool) -> list[list[str]]:
        places = [Place("1", rank, rank, 2, 0) for rank in range(2)]
        return [[r.words[0] for r in node.share(work(runs, tmp_path, spread=spread), place)] for place in places]

    assert shared(True) == [["0", "2", "4"], ["1", "3"]]
    assert shared(False) == [["0", "1", "2", "3", "4"]] * 2, "ranks of the same run"


def test_a_whole_run_knows_nothing_of_slurm() -> None:
    shell = {"SLURM_NTASKS": "2", "HOME": "/h", "CUDA_VISIBLE_DEVICES": "4,5"}
    found = node.run_environment(shell, True, Place("1", 1, 1, 2, 0))
    assert found == {"HOME": "/h", "CUDA_VISIBLE_DEVICES": "5", "METARUN_WAIT": node.LOCK_WAIT}
    assert node.run_environment(shell, False, Place("1", 1, 1, 2, 0)) == shell | {"METARUN_WAIT": node.LOCK_WAIT}
