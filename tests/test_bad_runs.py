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
import torch
from omegaconf import OmegaConf
from small_run import (
    SMALL,
    Kill,
    attempt,
    begin_command,
    bits,
    command,
    differing,
    ended,
    folder_of,
    said,
    steps_taken,
    write_ratings,
)
from torch import Tensor

from metarun.errors import MetarunError
from metarun.resume import hold
from metarun.stages.loop import Stage, fit

pytestmark = pytest.mark.slow

SHORT = ["strategy=meta/maml", "pipeline.rounds=1", "evaluate.against=[baseline/constant]"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few ratings."""
    return write_ratings(tmp_path_factory.mktemp("data"))


@pytest.fixture
def words(data: Path, tmp_path: Path) -> list[str]:
    """The words of a short command."""
    return [*SMALL, f"paths.outputs={tmp_path}/outputs", f"paths.data={data}", *SHORT]


@pytest.fixture(scope="module")
def undisturbed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the short command leaves where nothing goes wrong."""
    home = tmp_path_factory.mktemp("undisturbed")
    assert attempt([*SMALL, f"paths.outputs={home}/outputs", f"paths.data={data}", *SHORT], home) == 0
    return bits(folder_of(home))


def complaint(done: tuple[int, str]) -> str:
    """Return the one line that a refused command has said on its own account."""
    code, text = done
    lines = [line for line in text.splitlines() if line.startswith("metarun: ")]
    assert (code, len(lines)) == (2, 1), text
    assert "Traceback" not in text, text
    return lines[0]


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
            r"transfer/finetune, round 1: the loss is .* at step 1 of 1",
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


class Spoilt(Stage):
    """Its loss is 0 and the gradient of it is not a number."""

    rate_key = "spoilt.lr"

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def training_step(self, batch: Tensor) -> Tensor:
        """Return the square root of 0."""
        loss: Tensor = (self.weight**2).sum().sqrt()
        self.recent = loss.detach()
        return loss

    def configure_optimizers(self) -> Any:
        """Return plain gradient descent."""
        return torch.optim.SGD(self.parameters(), 0.1)


def test_a_last_step_that_spoils_the_model_is_not_handed_on(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(MetarunError, match=r"the parameters are not numbers at step 1 of 1.*Lower spoilt\.lr"):
        fit(
            Spoilt(), lambda step: torch.zeros(1), 1, tmp_path, "spoilt",
            trainer=OmegaConf.create({"accelerator": "cpu"}), save_every=5,
        )  # fmt: skip
    assert signal.getsignal(signal.SIGINT) is before, "Ctrl-C is ours again after a failure"


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


# ---------------------------------------------------------------------- a folder that holds something else


def test_another_config_under_the_same_name_is_refused(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "conf" / "experiment" / "mine.yaml"
    mine.parent.mkdir(parents=True)
    text = "# @package _global_\n# metarun +experiment=mine\nname: mine\npipeline:\n  meta:\n    steps: {}\n"
    words = [word for word in SMALL if "meta.steps" not in word]
    words += [f"paths.outputs={tmp_path}/outputs", f"paths.data={data}", *SHORT, "+experiment=mine"]
    change = [_Environment(METARUN_CONF=str(tmp_path / "conf"))]
    mine.write_text(text.format(20))
    assert command(words, tmp_path, Kill("step", "1-meta", 8), change)[0] == -signal.SIGKILL
    mine.write_text(text.format(30))
    folder = folder_of(tmp_path)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and ".hydra" not in str(path)}
    line = complaint(command(words, tmp_path, changes=change))
    assert "pipeline.meta.steps: 20 -> 30" in line
    assert "resume=never" in line
    after = {path: path.read_bytes() for path in before if path.name != ".lock"}
    assert after == {path: content for path, content in before.items() if path.name != ".lock"}
    assert command([*words, "resume=never"], tmp_path, changes=change)[0] == 0
    assert (folder.parent / f"{folder.name}.2" / "summary.json").exists()
    mine.write_text(text.format(20))
    assert command(words, tmp_path, changes=change)[0] == 0


class _Environment:
    """Sets environment variables in another process."""

    def __init__(self, **values: str) -> None:
        self.values = values

    def __call__(self) -> None:
        """Set them."""
        os.environ.update(self.values)


def test_other_data_under_the_same_name_is_refused(tmp_path: Path) -> None:
    own = write_ratings(tmp_path / "data")
    words = [*SMALL, f"paths.outputs={tmp_path}/outputs", f"paths.data={own}", *SHORT]
    assert command(words, tmp_path, Kill("step", "1-pretrain", 8))[0] == -signal.SIGKILL
    table = own / "ml-100k" / "u.data"
    rows = table.read_text().splitlines(keepends=True)
    user, item, stars, moment = rows[0].split("\t")
    table.write_text("".join(["\t".join([user, item, "1" if stars != "1" else "2", moment]), *rows[1:]]))
    line = complaint(command(words, tmp_path))
    assert "data checksum: " in line
    assert "resume=never" in line


def test_resume_never_starts_beside(words: list[str], tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    for name in ("", ".2", ".3"):
        assert command([*words, "resume=never"], tmp_path)[0] == 0
        (home,) = (tmp_path / "outputs").iterdir()
        first = min(home.iterdir(), key=lambda path: len(path.name))
        found = bits(home / f"{first.name}{name}")
        found["summary"]["run_id"] = undisturbed["summary"]["run_id"]
        assert differing(found, undisturbed) == []


def test_two_processes_never_work_in_one_folder(words: list[str], tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    assert command(words, tmp_path, Kill("step", "1-pretrain", 8))[0] == -signal.SIGKILL
    folder = folder_of(tmp_path)
    with hold(folder):
        line = complaint(command(words, tmp_path))
        assert f"another process (process {os.getpid()} on " in line
        assert str(folder) in line
        with pytest.raises(MetarunError, match="resume=never"), hold(folder):
            pass
    both = [begin_command(words, tmp_path) for _ in range(2)]
    assert sorted(ended(process) for process in both) == [0, 2], said(tmp_path)
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


def test_ctrl_c_anywhere_and_the_same_command_again(data: Path, tmp_path: Path) -> None:
    words = [*SMALL, *SHORT, "pipeline.meta.steps=150", f"paths.data={data}"]
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
