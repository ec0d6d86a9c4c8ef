"""A run's folder holds one run: another config, other data or a second process is refused, resume=never goes beside."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from small_run import (
    SHORT,
    SMALL,
    Kill,
    begin_command,
    bits,
    command,
    complaint,
    differing,
    ended,
    folder_of,
    said,
    write_ratings,
)  # fmt: skip

from metarun.errors import MetarunError
from metarun.resume import hold

pytestmark = pytest.mark.slow


def test_another_config_under_the_same_name_is_refused(
    few_ratings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "conf" / "experiment" / "mine.yaml"
    mine.parent.mkdir(parents=True)
    text = "# @package _global_\n# metarun +experiment=mine\nname: mine\npipeline:\n  meta:\n    steps: {}\n"
    words = [word for word in SMALL if "meta.steps" not in word]
    words += [f"paths.outputs={tmp_path}/outputs", f"paths.data={few_ratings}", *SHORT, "+experiment=mine"]
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
