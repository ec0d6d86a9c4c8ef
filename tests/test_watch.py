"""Who is told what: the first process everything, the others nothing; a curve is sent on and taken up."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from metarun import config, manifest
from metarun.report.progress import Lines, Silent
from metarun.stages.curve import Curve
from metarun.stopping import Stopped
from metarun.trackers import Results, Tracker, Trackers
from metarun.watch import Following, Watch, watching

DATA = {"name": "movielens/1m", "synthetic": False, "checksum": "ab12"}


class Keeps(Tracker):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.logged: list[tuple[str, int]] = []
        self.found: Results | None = None

    def begin(self, config: dict[str, Any]) -> None:
        """Forget nothing."""

    def log(self, stage: str, step: int, values: dict[str, float]) -> None:
        """Keep stage and step."""
        self.logged.append((stage, step))

    def results(self, results: Results) -> None:
        """Keep them."""
        self.found = results

    def close(self) -> None:
        """Hold nothing."""


def stage(steps: int) -> Any:
    """Return a stage after so many steps."""
    curve = Curve()
    for step in range(1, steps + 1):
        curve.add(step, torch.tensor(1.0), 0.1)
    return SimpleNamespace(curve=curve, has_loss=True, recent=torch.tensor(1.0), position=steps)


def test_a_stage_that_is_taken_up_sends_what_was_not_sent() -> None:
    tracker = Keeps()
    watch = Watch(Silent(), Trackers({"own": tracker}, print))
    checkpoint: dict[str, Any] = {}
    first = Following(watch, "1-meta", "meta/maml", 6)
    first.on_save_checkpoint(None, stage(2), checkpoint)  # type: ignore[arg-type]
    again = Following(watch, "1-meta", "meta/maml", 6)
    again.on_load_checkpoint(None, None, checkpoint)  # type: ignore[arg-type]
    again.on_train_end(None, stage(4))  # type: ignore[arg-type]
    assert tracker.logged == [("1-meta", step) for step in (1, 2, 3, 4)]


def test_only_a_process_with_a_manifest_has_an_audience(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cfg = config.compose(["+experiment=movielens_maml", "logger=tensorboard"])
    with watching(cfg, tmp_path, None) as watch:
        assert type(watch.view) is Silent
        watch.say("nothing")
        watch.judging("meta/maml", 1, 2)
        watch.described({})
        watch.finished(tmp_path, [])
    assert capsys.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []
    with manifest.attempt(tmp_path, cfg, DATA) as opened, watching(cfg, tmp_path, opened) as watch:
        assert type(watch.view) is Lines
        assert watch.progress.expected[:3] == ["1-pretrain", "1-transfer", "1-meta"]
        assert list(watch.followers.members) == ["tensorboard"]


@pytest.mark.parametrize(("error", "hurry"), [(None, False), (ValueError(), False), (Stopped(15), True)])
def test_trackers_hurry_where_the_run_was_asked_to_leave(
    error: BaseException | None, hurry: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker, cfg = Keeps(), config.compose([])
    monkeypatch.setattr("metarun.trackers.chosen", lambda *_: {"own": tracker})
    with (
        suppress(ValueError, Stopped),
        manifest.attempt(tmp_path, cfg, DATA) as opened,
        watching(cfg, tmp_path, opened),
    ):
        if error is not None:
            raise error
    assert tracker.hurry == hurry


def test_a_finished_run_is_closed_before_it_is_sent_on(tmp_path: Path) -> None:
    tracker, cfg = Keeps(), config.compose([])
    (tmp_path / "error.png").write_bytes(b"")
    rows = [{"split": "train"}, {"split": "test"}]
    with manifest.attempt(tmp_path, cfg, DATA) as opened:
        watch = Watch(Silent(), Trackers({"own": tracker}, print), opened)
        watch.described({"parameters": 3})
        assert json.loads((tmp_path / "manifest.json").read_text())["model"] == {"parameters": 3}
        watch.finished(tmp_path, rows)
    assert tracker.found is not None
    assert tracker.found.table == rows[1:]
    assert [path.name for path in tracker.found.plots] == ["error.png"]
    assert tracker.found.manifest["attempts"][-1]["exit"] == "finished"
    assert json.loads((tmp_path / "manifest.json").read_text())["model"] == {"parameters": 3}
