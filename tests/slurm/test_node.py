"""What a job does on its node: its share of the runs, and what happens when it is told to leave."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from fakes import Fakes

from metarun.errors import PeerGone
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
    monkeypatch.setattr(node, "RETRY", 0.01)
    monkeypatch.setattr(node, "SILENCE", 5.0)

    def told(number: int | None, restart: int = 0, rank: int = 0, tasks: int = 1) -> int:
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


@pytest.mark.parametrize(
    ("mark", "sends"),
    [
        ("SIGUSR1", False),  # the first task has saved, and does it for both
        ("done", True),
        (None, True),  # it was killed before it could say anything
    ],
)
def test_the_first_task_that_is_left_sends_the_job_back(
    mark: str | None, sends: bool, leave: Callable[..., int], fakes: Fakes, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    if mark:
        (marks / f"77.0.0.{mark}").touch()
    leave(signal.SIGUSR1, rank=1, tasks=2)
    assert ("requeue 77" in fakes.read("asked")) == sends
    assert (marks / "77.0.1.requeued").exists() == sends


def test_scontrol_that_does_not_answer_is_asked_again(leave: Callable[..., int], fakes: Fakes) -> None:
    count = f'echo "$@" >>{fakes.folder}/asked; test $(grep -c "^$1" {fakes.folder}/asked) -gt 2 || exit 1'
    fakes.command("scontrol", f"{count}; cat {fakes.folder}/job")
    assert leave(signal.SIGTERM) == 128 + signal.SIGTERM
    asked = fakes.read("asked").splitlines()
    assert asked.count("requeue 77") == 3
    assert asked.index("requeue 77") == 3, "not before its state is known: it may have been cancelled"


def test_a_job_that_cannot_go_back_says_why(
    leave: Callable[..., int], fakes: Fakes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node, "SILENCE", 0.2)
    fakes.command("scontrol", "exit 1")
    assert leave(signal.SIGTERM) == 1
    kept = json.loads(node.result_of(tmp_path, tmp_path / "runs" / "1").read_text())
    assert kept["reason"] == "could not go back into the queue: SLURM does not answer"


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


def test_a_signal_of_the_user_is_no_time_limit(leave: Callable[..., int], fakes: Fakes) -> None:
    def ends(seconds: float) -> None:
        moment = datetime.fromtimestamp(time.time() + seconds)
        fakes.says("job", f"JobState=RUNNING StartTime=Unknown EndTime={moment:%Y-%m-%dT%H:%M:%S} Deadline=N/A")

    ends(3600)
    for restart in range(3):
        assert leave(signal.SIGUSR2, restart) == 128 + signal.SIGUSR2
    ends(60)
    assert leave(signal.SIGUSR2, 3) == 128 + signal.SIGUSR2
    assert leave(signal.SIGUSR2, 4) == 1
    assert fakes.read("asked").count("requeue") == 4


# ---------------------------------------------------------------------- a rank that has lost another


@pytest.fixture
def rank(leave: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Task]:
    """The second of two tasks of a run, whose process finds the first one gone."""
    before = [signal.getsignal(n) for n in node.stopping.SIGNALS]
    task = Task(work([Run([], tmp_path / "runs" / "1")], tmp_path, spread=False), Place("77", 1, 1, 2, 0))
    monkeypatch.setattr(task, "start", lambda run: PeerGone.code)
    yield task
    for n, handler in zip(node.stopping.SIGNALS, before, strict=True):
        signal.signal(n, handler)


def test_a_rank_whose_peer_was_lost_goes_back_into_the_queue(rank: Task, fakes: Fakes, tmp_path: Path) -> None:
    with pytest.raises(Left) as found:
        rank.do(rank.work.runs[0])
    assert found.value.args[0] == PeerGone.code
    assert "requeue 77" in fakes.read("asked")
    assert not node.result_of(tmp_path, tmp_path / "runs" / "1").exists(), "so the next attempt does the run"


def test_a_rank_whose_peer_has_failed_does_not(rank: Task, fakes: Fakes, tmp_path: Path) -> None:
    node.write_json(node.result_of(tmp_path, tmp_path / "runs" / "1"), {"code": 1})
    assert rank.do(rank.work.runs[0]) == 1
    assert not fakes.read("asked")


def test_peers_are_not_lost_for_ever(leave: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert leave(None, 0) == PeerGone.code
    assert leave(None, 1) == 1
    assert "a task of it was lost 2 times; hydra.launcher.max_num_timeout allows more" in capsys.readouterr().out


# ---------------------------------------------------------------------- a signal while a run is being started


@pytest.fixture
def starting(leave: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Task]:
    """A task whose run would take too long."""
    before = [signal.getsignal(n) for n in node.stopping.SIGNALS]
    monkeypatch.setattr(node, "prepare", lambda: None)
    monkeypatch.setattr(node.processes, "perform", lambda *_: time.sleep(20))
    yield Task(work([], tmp_path), Place("77", 0, 0, 1, 0))
    for n, handler in zip(node.stopping.SIGNALS, before, strict=True):
        signal.signal(n, handler)


def told() -> None:
    """Be told to leave."""
    os.kill(os.getpid(), signal.SIGUSR1)


def test_a_signal_during_the_imports_starts_nothing(
    starting: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node, "prepare", told)
    monkeypatch.setattr(BaseProcess, "start", lambda process: pytest.fail("it is started"))
    assert starting.start(Run([], tmp_path / "runs" / "1")) == 128 + signal.SIGUSR1


def test_a_signal_while_the_process_starts_is_passed_on(
    starting: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = BaseProcess.start

    def started(process: BaseProcess) -> None:
        told()
        start(process)

    monkeypatch.setattr(BaseProcess, "start", started)
    assert starting.start(Run([], tmp_path / "runs" / "1")) == -signal.SIGUSR1


# ---------------------------------------------------------------------- what a run is given


def test_tasks_share_the_runs_of_a_job(tmp_path: Path) -> None:
    runs = [Run([str(n)], tmp_path / str(n)) for n in range(5)]

    def shared(spread: bool) -> list[list[str]]:
        places = [Place("1", rank, rank, 2, 0) for rank in range(2)]
        return [[r.words[0] for r in node.share(work(runs, tmp_path, spread=spread), place)] for place in places]

    assert shared(True) == [["0", "2", "4"], ["1", "3"]]
    assert shared(False) == [["0", "1", "2", "3", "4"]] * 2, "ranks of the same run"


def test_a_whole_run_knows_nothing_of_slurm() -> None:
    shell = {"SLURM_NTASKS": "2", "HOME": "/h", "CUDA_VISIBLE_DEVICES": "4,5"}
    ours = {"METARUN_WAIT": "inf", "METARUN_FOLDER": "/runs/1"}
    found = node.run_environment(shell, True, Place("1", 1, 1, 2, 0), Path("/runs/1"))
    assert found == {"HOME": "/h", "CUDA_VISIBLE_DEVICES": "5"} | ours
    assert node.run_environment(shell, False, Place("1", 1, 1, 2, 0), Path("/runs/1")) == shell | ours
