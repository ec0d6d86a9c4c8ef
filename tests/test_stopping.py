"""Signals: a run that is asked to leave saves, says by whom, and the same command ends with the same bits."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_run import begin_command, bits, command, differing, ended, folder_of, said, steps_taken

from metarun import stopping
from metarun.errors import MetarunError
from metarun.resume import hold


def slow_steps() -> None:
    """Give the test time to send its signal."""
    from metarun.stages import meta

    stage: Any = meta.Meta
    step = stage.training_step

    def slow(self: Any, *rest: Any) -> Any:
        time.sleep(0.05)
        return step(self, *rest)

    stage.training_step = slow


def slow_judging() -> None:
    """Give the test time to send its signal while nothing is trained."""
    from metarun import evaluate

    judge: Any = evaluate.Judge
    test = judge.test

    def slow(self: Any, *rest: Any, **named: Any) -> Any:
        Path(os.environ["METARUN_CACHE"]).parent.joinpath("judging").touch()
        time.sleep(3.0)
        return test(self, *rest, **named)

    judge.test = slow


def send(process: Any, number: int, when: Callable[[], bool]) -> int:
    """Send a signal as soon as something is the case, twice, as SLURM does, and return the exit code."""
    until = time.monotonic() + 60
    while not when():
        assert process.is_alive(), "it has ended"
        assert time.monotonic() < until, "it never came to that"
        time.sleep(0.01)
    os.kill(process.pid, number)
    os.kill(process.pid, number)
    return ended(process)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT])
def test_a_signal_saves_the_step_it_comes_in(
    number: signal.Signals, words: list[str], tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    process = begin_command(words, tmp_path, changes=[slow_steps])

    def training() -> bool:
        return (tmp_path / "steps").exists() and "1-meta 7" in steps_taken(tmp_path)

    if number == signal.SIGINT:  # a second Ctrl-C would not wait for the step
        while not training():
            time.sleep(0.01)
        os.kill(process.pid, number)
        code = ended(process)
    else:
        code = send(process, number, training)
    assert code == 128 + number
    name = "" if number == signal.SIGINT else f" by {number.name}"
    assert f"Stopped{name}. The same command takes the run up where it was saved: metarun " in said(tmp_path)
    assert command(words, tmp_path)[0] == 0
    taken = [line for line in steps_taken(tmp_path) if line.startswith("1-meta ")]
    assert taken == [f"1-meta {step}" for step in range(1, 21)], "no step is repeated, none is left out"
    assert differing(bits(folder_of(tmp_path)), undisturbed) == []


def test_a_signal_while_judging_leaves_at_once(words: list[str], tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    process = begin_command(words, tmp_path, changes=[slow_judging])
    assert send(process, signal.SIGTERM, (tmp_path / "judging").exists) == 128 + signal.SIGTERM
    assert not (folder_of(tmp_path) / "summary.json").exists()
    before = len(steps_taken(tmp_path))
    assert command(words, tmp_path)[0] == 0
    assert len(steps_taken(tmp_path)) == before
    assert differing(bits(folder_of(tmp_path)), undisturbed) == []


def test_slow_steps_are_saved_by_the_clock(words: list[str], tmp_path: Path) -> None:
    """Killed without warning, after less than pipeline.save_every steps."""
    words = [*words, "pipeline.save_every=1000", "pipeline.save_minutes=0.005"]
    process = begin_command(words, tmp_path, changes=[slow_steps])
    until = time.monotonic() + 60
    while not (tmp_path / "steps").exists() or "1-meta 19" not in steps_taken(tmp_path):
        assert time.monotonic() < until
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    ended(process)
    assert command(words, tmp_path)[0] == 0
    taken = [line for line in steps_taken(tmp_path) if line.startswith("1-meta ")]
    assert 20 < len(taken) < 32, "repeated: at most what 0.3 s hold"


def test_the_handlers_are_given_back() -> None:
    before = [signal.getsignal(number) for number in stopping.SIGNALS]
    with pytest.raises(stopping.Stopped) as found, stopping.listening():  # noqa: PT012
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(1.0)
    assert found.value.number == signal.SIGUSR1
    assert [signal.getsignal(number) for number in stopping.SIGNALS] == before


def test_what_lies_behind_an_error_is_found() -> None:
    def cut_short() -> None:
        try:
            raise stopping.Stopped(signal.SIGTERM)
        except KeyboardInterrupt:
            raise MetarunError("half a clean-up") from None

    with pytest.raises(MetarunError) as found:
        cut_short()
    assert stopping.asked(found.value) == signal.SIGTERM
    assert stopping.asked(KeyboardInterrupt()) == signal.SIGINT
    assert stopping.asked(SystemExit(1)) is None
    assert (stopping.code(signal.SIGINT), stopping.code(signal.SIGTERM)) == (130, 143)


def test_a_run_waits_for_the_one_before_where_it_is_told_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with (tmp_path / ".lock").open("w") as other:
        other.write("process 1 on n1\n")
        other.flush()
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(MetarunError, match=r"another process \(process 1 on n1\) is working in"), hold(tmp_path):
            pass
        monkeypatch.setenv("METARUN_WAIT", "0.5")
        began = time.monotonic()
        with pytest.raises(MetarunError, match=r"process 1 on n1"), hold(tmp_path):
            pass
        assert time.monotonic() - began > 0.4
        assert capsys.readouterr().err.count("waiting up to") == 1
        monkeypatch.setenv("METARUN_WAIT", "inf")
        threading.Timer(0.5, fcntl.flock, (other, fcntl.LOCK_UN)).start()
        with hold(tmp_path):
            assert "waiting for another process (process 1 on n1) to leave" in capsys.readouterr().err
    with hold(tmp_path):
        assert str(os.getpid()) in (tmp_path / ".lock").read_text()


def test_a_wait_that_is_no_number_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METARUN_WAIT", "soon")
    with pytest.raises(MetarunError, match="METARUN_WAIT=soon: give a number of seconds"), hold(tmp_path):
        pass
