"""A command that starts several processes: it answers for them, passes signals on and leaves none behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from small_run import SHORT, SMALL, begin_command, bits, command, differing, ended, folder_of, said

from metarun import config, manifest, supervisor
from metarun.stopping import Stopped

STEPS = 150
TOGETHER = [*SMALL, *SHORT, "trainer=ddp_cpu", f"pipeline.meta.steps={STEPS}"]
LAST = "checkpoints/1-meta/last.ckpt"


def remember(path: str) -> None:
    """Write down the processes that the command starts."""
    from metarun import processes

    module: Any = processes
    start = module.start

    def started(*given: Any, **named: Any) -> Any:
        process = start(*given, **named)
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(f"{process.pid}\n")
        return process

    module.start = started


def words_of(home: Path, data: Path) -> list[str]:
    return [*TOGETHER, f"paths.data={data}", f"paths.outputs={home}/outputs"]


def started(home: Path) -> list[int]:
    return [int(line) for line in (home / "started").read_text(encoding="utf-8").split()]


def until(what: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def in_the_loop(words: list[str], home: Path) -> Any:
    """Start the command and return its process as soon as the meta-update has saved once more."""
    (home / "started").unlink(missing_ok=True)
    last = next(home.glob(f"outputs/*/*/{LAST}"), None)
    before = last.stat().st_mtime_ns if last else 0
    process = begin_command(words, home, changes=[partial(remember, str(home / "started"))])

    def saved() -> bool:
        assert process.is_alive(), said(home)[-3000:]
        return any(path.stat().st_mtime_ns > before for path in home.glob(f"outputs/*/*/{LAST}"))

    until(saved)
    return process


@pytest.fixture(scope="module")
def whole(few_ratings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a command that nothing happened to."""
    home = tmp_path_factory.mktemp("home")
    code, text = command(words_of(home, few_ratings), home)
    assert code == 0, text
    return home


@pytest.mark.slow
def test_one_of_them_speaks_and_no_log_is_left(whole: Path) -> None:
    text = said(whole)
    assert text.count(f"1-meta (meta/maml): {STEPS} steps") == 1
    assert text.count(" methods in ") == 1
    assert not list(folder_of(whole).glob("process-*.log"))


@pytest.mark.slow
def test_stopped_and_killed_it_ends_with_the_same_bits(whole: Path, few_ratings: Path, tmp_path: Path) -> None:
    words = words_of(tmp_path, few_ratings)
    process = in_the_loop(words, tmp_path)
    os.kill(process.pid, signal.SIGINT)
    assert ended(process) == 130
    assert said(tmp_path).count("The same command takes the run up where it was saved: metarun dataset.version=") == 1
    assert not any(map(alive, started(tmp_path)))

    before = len(said(tmp_path))
    process = in_the_loop(words, tmp_path)
    os.kill(started(tmp_path)[1], signal.SIGKILL)
    assert ended(process) == 1
    text = said(tmp_path)[before:]
    assert "metarun: process 2 of 2 was killed by SIGKILL, so the others have stopped; what it said is in" in text
    assert "Traceback" not in text
    assert not any(map(alive, started(tmp_path)))

    assert command(words, tmp_path)[0] == 0
    names = differing(bits(folder_of(tmp_path)), bits(folder_of(whole)))
    assert not names, names[:5]
    assert not list(folder_of(tmp_path).glob("process-*.log"))


@pytest.mark.slow
def test_they_die_with_the_command(few_ratings: Path, tmp_path: Path) -> None:
    process = in_the_loop(words_of(tmp_path, few_ratings), tmp_path)
    process.kill()
    process.join(10)
    until(lambda: not any(map(alive, started(tmp_path))), 10)


def test_what_the_first_one_refuses_is_said_once(few_ratings: Path, tmp_path: Path) -> None:
    code, text = command([*words_of(tmp_path, few_ratings), "pretrain.lr=1e30"], tmp_path)
    assert code == 2, text
    assert text.count("metarun: ") == 1
    assert "Lower pretrain.lr" in text


def fork(job: Callable[[], object]) -> Any:
    process = multiprocessing.get_context("fork").Process(target=job)
    process.start()
    return process


def sleep() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    time.sleep(60)


def test_what_hangs_when_the_first_has_ended_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "GRACE", 0.2)
    began = time.monotonic()
    assert supervisor.ended([fork(time.monotonic), fork(sleep)], []) == [0, -signal.SIGKILL]
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("at", [1, 2])
def test_ctrl_c_while_they_are_started_leaves_none_behind(
    at: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    begun: list[Any] = []

    def start(*_: Any) -> Any:
        begun.append(fork(sleep))
        if len(begun) == at:
            os.kill(os.getpid(), signal.SIGINT)
        return begun[-1]

    monkeypatch.setattr("metarun.processes.start", start)
    monkeypatch.setattr(supervisor, "GRACE", 0.2)
    cfg = config.compose(["trainer=ddp_cpu", "trainer.devices=3"])
    with pytest.raises(Stopped):
        supervisor.run([], cfg, tmp_path)
    assert len(begun) == at
    assert not any(process.is_alive() for process in begun)


def test_a_first_process_that_is_killed_is_in_the_manifest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cfg = config.compose(["trainer=ddp_cpu"])

    def die() -> None:
        manifest.start(tmp_path, cfg, {})
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr("metarun.processes.start", lambda _, __, log: fork(sleep if log else die))
    monkeypatch.setattr(supervisor, "GRACE", 0.2)
    assert supervisor.run([], cfg, tmp_path) == 1
    assert manifest.load(tmp_path)["attempts"][-1]["exit"] == "killed by SIGKILL, perhaps for memory"


@pytest.mark.parametrize(
    ("codes", "code", "message"),
    [
        ([2, 2], 2, ""),
        (
            [2, -9],
            1,
            "process 2 of 2 was killed by SIGKILL, so the others have stopped; what it said is in process-1.log",
        ),
        ([75, 2], 1, "process 2 of 2 has ended with exit code 2"),
        ([75, -9], 1, "process 2 of 2 was killed by SIGKILL"),
        ([-9, 2], 1, "process 1 of 2 was killed by SIGKILL, so the others have stopped."),
        ([2, 1], 1, "process 2 of 2 has ended with exit code 1"),
        ([0, 3], 1, "process 2 of 2 has ended with exit code 3"),
    ],
)
def test_who_is_to_blame(codes: list[int], code: int, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert supervisor.blame(codes, [Path("process-1.log")]) == code
    assert message in capsys.readouterr().err
