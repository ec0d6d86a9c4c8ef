"""What goes wrong while a run is under way: each a clear error, and nothing that was finished is lost."""

from __future__ import annotations

import ctypes
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from small_run import SHORT, SMALL, Kill, attempt, bits, command, complaint, differing, folder_of, steps_taken

pytestmark = pytest.mark.slow


def finished(home: Path) -> list[str]:
    """Return the stages that left a model."""
    return sorted(path.parent.name for path in folder_of(home).glob("checkpoints/*/model.ckpt"))


# ---------------------------------------------------------------------- a loss that is not a number


@pytest.mark.parametrize(
    ("override", "where", "option", "kept"),
    [
        ("pretrain.lr=1e30", r"pretrain, round 1: the loss is (inf|nan) at step 2 of \d+", "pretrain.lr", []),
        (
            "pipeline.meta.lr=1e30",
            r"meta/maml, round 1: the loss is (inf|nan) at step 2 of 20",
            "meta.lr",
            ["1-pretrain"],
        ),
        (
            "strategy=transfer/finetune strategy.transfer.inner_lr=1e30",
            r"transfer/finetune, round 1: the adapted state is not finite at step 1 of 1",
            "strategy.transfer.inner_lr",
            ["1-pretrain"],
        ),
    ],
)
def test_a_loss_that_is_not_a_number_stops_the_run(
    override: str, where: str, option: str, kept: list[str], words: list[str], tmp_path: Path
) -> None:
    spoilt = [word for word in words if not word.startswith("strategy=")] + override.split()
    line = complaint(command(spoilt, tmp_path))
    assert re.search(where, line)
    assert option in line.partition("Lower ")[2]
    assert str(folder_of(tmp_path)) in line
    assert finished(tmp_path) == kept
    before = steps_taken(tmp_path)
    assert complaint(command(spoilt, tmp_path)) == line  # the same again, and nothing that was finished is repeated
    assert not any("pretrain" in step for step in steps_taken(tmp_path)[len(before) :]) or not kept


def test_too_little_to_judge_is_told_before_anything_is_trained(words: list[str], tmp_path: Path) -> None:
    line = complaint(command([*words, "dataset.queries=500"], tmp_path))
    assert "lower dataset.supports or dataset.queries" in line
    assert steps_taken(tmp_path) == []


# ---------------------------------------------------------------------- a disk that refuses


def test_a_full_disk_loses_nothing(words: list[str], tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    files = ["1-pretrain/last.ckpt", "1-pretrain/model.ckpt", "1-meta/last.ckpt", "1-meta/metrics.jsonl"]
    files += ["evaluate-meta-maml/scores.npz", "task_scores.npz", "error_by_support.png", "summary.json"]
    for file in files:
        line = complaint(command(words, tmp_path, Kill("write", file, 1, "full")))
        assert file in line
        assert "No space left" in line
        assert "paths.outputs" in line
        assert not list(folder_of(tmp_path).rglob(".*.tmp")), "what could not be written whole is not left"
    assert command(words, tmp_path)[0] == 0
    assert differing(bits(folder_of(tmp_path)), undisturbed) == []
    lost = len(steps_taken(tmp_path)) - undisturbed["summary"]["optimiser_steps"]
    assert lost <= len(files) * 5


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MB, where we may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = (
        sys.platform == "linux"
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(place)], capture_output=True, check=False
        ).returncode
    )
    if not mounted:
        pytest.skip("mounting a small disk needs root")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_disk_that_fills_up(words: list[str], tmp_path: Path, disk: Path, undisturbed: dict[str, Any]) -> None:
    here = [f"paths.outputs={disk}/outputs" if word.startswith("paths.outputs") else word for word in words]
    ballast = disk / "ballast"
    ballast.write_bytes(b"0" * 960_000)  # leaves room for Hydra's files and the manifest
    line = complaint(command(here, tmp_path))
    assert "No space left on device" in line
    assert str(disk) in line
    ballast.unlink()
    assert command(here, tmp_path)[0] == 0
    assert differing(bits(folder_of(disk)), undisturbed) == []


def without_privileges() -> None:
    """Let root obey the permissions of files, as everybody else does."""
    if sys.platform == "linux" and os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        header = (ctypes.c_uint32 * 2)(0x20080522, 0)
        assert libc.capset(header, (ctypes.c_uint32 * 6)()) == 0, os.strerror(ctypes.get_errno())


def test_a_read_only_output_folder_is_refused_before_anything_is_computed(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "outputs").mkdir(mode=0o555)
    line = complaint(command(words, tmp_path, changes=[without_privileges]))
    assert "paths.outputs=" in line
    assert "Permission denied" in line
    assert not (tmp_path / "steps").read_text()


def test_a_read_only_run_folder_is_refused(words: list[str], tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    assert command(words, tmp_path, Kill("step", "1-meta", 8))[0] == -signal.SIGKILL
    folder = folder_of(tmp_path)
    for path in (folder, folder / ".hydra", *(folder / ".hydra").iterdir()):
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = len(steps_taken(tmp_path))
    line = complaint(command(words, tmp_path, changes=[without_privileges]))
    assert str(folder) in line
    assert len(steps_taken(tmp_path)) == before
    for path in (folder, folder / ".hydra", *(folder / ".hydra").iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)
    assert command(words, tmp_path)[0] == 0
    assert differing(bits(folder), undisturbed) == []


# ---------------------------------------------------------------------- Ctrl-C and LANG=C, in a real command


class Command:
    """`metarun WORDS` as a shell starts it, in a plain environment."""

    def __init__(self, words: list[str], home: Path) -> None:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LD_LIBRARY_PATH") if name in os.environ}
        plain = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
        start = "import sys; from metarun.cli import main; sys.exit(main())"
        self.home = home
        self.process = subprocess.Popen(
            [sys.executable, "-c", start, *words],
            env={**kept, **plain, "METARUN_CACHE": str(home / "cache")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )

    def interrupt(self, when: Callable[[], bool], times: int = 1) -> tuple[int, str]:
        """Press Ctrl-C as soon as something is the case; return the exit code and what was said."""
        began = time.monotonic()
        while not when():
            assert self.process.poll() is None, self.process.communicate()[0]
            assert time.monotonic() - began < 100, "it never came to that"
            time.sleep(0.002)
        for _ in range(times):
            os.killpg(self.process.pid, signal.SIGINT)
            time.sleep(0.02)
        return self.wait()

    def wait(self) -> tuple[int, str]:
        """Return the exit code and what was said."""
        text, _ = self.process.communicate(timeout=110)
        return self.process.returncode, text


def test_ctrl_c_anywhere_and_the_same_command_again(few_ratings: Path, tmp_path: Path) -> None:
    words = [*SMALL, *SHORT, "pipeline.meta.steps=150", f"paths.data={few_ratings}"]
    whole, home = tmp_path / "whole", tmp_path / "home"
    whole.mkdir()
    home.mkdir()
    assert attempt([*words, f"paths.outputs={whole}/outputs"], whole) == 0
    words.append(f"paths.outputs={home}/outputs")

    def there(pattern: str) -> Callable[[], bool]:
        return lambda: any(home.glob(f"outputs/run/*/{pattern}"))

    moments = [
        (there("checkpoints/1-pretrain/last.ckpt"), 1),
        (there("checkpoints/1-meta/last.ckpt"), 2),
        (there("checkpoints/evaluate-baseline-constant/choices.json"), 1),
    ]
    for when, times in moments:
        code, text = Command(words, home).interrupt(when, times)
        assert code == 130, text
        assert "Traceback" not in text
        stopped = [line for line in text.splitlines() if line.startswith("Stopped.")]
        assert len(stopped) == 1, text
        assert stopped[0].endswith(words[-1])
    assert not (folder_of(home) / "summary.json").exists()
    code, text = Command(words, home).wait()
    assert code == 0, text
    assert "UnicodeEncodeError" not in text
    assert differing(bits(folder_of(home)), bits(folder_of(whole))) == []


def test_ctrl_c_under_resume_never_says_how_to_go_on(
    words: list[str], tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    assert command(words, tmp_path)[0] == 0
    first = folder_of(tmp_path)
    code, text = command([*words, "resume=never"], tmp_path, changes=[interrupted_in_evaluation])
    assert code == 130
    (line,) = [line for line in text.splitlines() if line.startswith("Stopped.")]
    again = shlex.split(line.partition(": metarun ")[2])
    before = len(steps_taken(tmp_path))
    assert command(again, tmp_path)[0] == 0
    assert len(steps_taken(tmp_path)) == before
    found = bits(first.parent / f"{first.name}.2")
    found["summary"]["run_id"] = first.name
    assert differing(found, undisturbed) == []


def interrupted_in_evaluation() -> None:
    """Press Ctrl-C when the first method is judged on test."""
    from metarun import evaluate

    judge: Any = evaluate.Judge

    def test(*_: Any) -> None:
        raise KeyboardInterrupt

    judge.test = test
