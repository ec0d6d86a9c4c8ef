"""Jobs side by side on this machine: each as if it were alone, whatever happens to the others."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from small_run import bits, differing

from metarun import config, run
from metarun.cli import job, main
from metarun.launchers import pool
from metarun.launchers.base import Job

POOL = ["-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
Out = pytest.CaptureFixture[str]


def runs(outputs: Path) -> list[Path]:
    return sorted(path.parent for path in outputs.glob("*/*/summary.json"))


@pytest.mark.slow
def test_a_job_is_the_single_run_and_a_finished_one_is_not_started_again(
    words: list[str], undisturbed: dict[str, Any], tmp_path: Path, capsys: Out
) -> None:
    assert main([*POOL, *words, "seed=0,1"]) == 0
    err = capsys.readouterr().err
    assert "2 jobs, 2 at a time" in err
    assert re.search(r"\[\d\] seed=1: finished, .* s, validation rmse \d", err)
    assert err.endswith("2 of 2 jobs finished.\n")
    found = runs(tmp_path / "outputs")
    seeded = [bits(folder) for folder in found]
    same = [one for one in seeded if one["summary"]["setting"]["seed"] == 0]
    apart = {"summary"}  # its run id: the seed was given
    assert set(differing(same[0], undisturbed)) <= apart
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "outputs").rglob("*.*")}
    assert main([*POOL, *words, "seed=0,1"]) == 0
    assert "2 of 2 jobs were finished before" in capsys.readouterr().err
    changed = {path.name for path, moment in times.items() if path.stat().st_mtime_ns != moment}
    assert changed <= {"multirun.yaml"}


@pytest.mark.slow
def test_a_job_that_crashes_or_is_killed_ends_no_other(
    badlab: None, words: list[str], tmp_path: Path, capsys: Out
) -> None:
    swept = [word for word in words if not word.startswith("strategy=")]
    assert main([*POOL, *swept, "strategy=meta/crash,meta/killed,meta/maml"]) == 1
    err = capsys.readouterr().err
    assert "1 of 3 jobs finished." in err
    last = err.split("jobs finished.")[1]
    crashed = re.search(r"strategy=meta/crash: failed, .*RuntimeError.* \(log: (.*)\)", last)
    assert crashed
    assert "a crash of its own" in Path(crashed[1]).read_text(encoding="utf-8")
    assert re.search(r"strategy=meta/killed: failed, killed by SIGKILL, perhaps for memory \(log: .*\)", last)
    assert len(runs(tmp_path / "outputs")) == 1
    ends = [json.loads(path.read_text())["attempts"][-1]["exit"] for path in tmp_path.glob("outputs/*/*/manifest.json")]
    assert ends.count("killed by SIGKILL, perhaps for memory") == 1


@pytest.mark.slow
def test_a_job_that_is_refused_says_why_in_one_line(words: list[str], capsys: Out) -> None:
    swept = [word for word in words if not word.startswith("dataset.queries")]
    assert main([*POOL, *swept, "dataset.queries=500,5"]) == 2
    err = capsys.readouterr().err
    assert "1 of 2 jobs finished." in err
    assert re.search(
        r"dataset.queries=500: refused, no user of .* has 505 ratings.* \(log: .*\)", err.split("jobs finished.")[1]
    )


@pytest.mark.nightly
def test_resume_never_works_where_its_launcher_looks(words: list[str], tmp_path: Path, capsys: Out) -> None:
    for number in (1, 2):
        assert main([*POOL, *words, "resume=never"]) == 0, capsys.readouterr().err
        assert len(runs(tmp_path / "outputs")) == number
    for folder in runs(tmp_path / "outputs"):
        assert (folder / "metarun.log").exists()
        assert (folder / ".hydra" / "overrides.yaml").exists()


def test_a_job_that_begins_again_stays_in_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own manifest is there; with resume=never it is no other run's."""
    place = f"paths.outputs={tmp_path}"
    folder = config.run_folder(config.compose([place]))
    folder.mkdir(parents=True)
    (folder / "manifest.json").touch()
    given = {}

    def started(words: Sequence[str], environment: dict[str, str], log: Path) -> Any:
        given.update(environment)
        return SimpleNamespace(sentinel=0)

    monkeypatch.setattr(pool.processes, "start", started)
    words = (place, "resume=never")
    pool.begin(Job(1, words, folder, ""))
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(run, "run", lambda cfg: given.update(folder=str(config.run_folder(cfg))))
    assert job(words) == 0
    assert given["folder"] == str(folder)
    assert (folder / ".hydra" / "overrides.yaml").exists()


@pytest.mark.nightly
def test_ctrl_c_stops_the_jobs_where_they_can_be_taken_up(words: list[str], tmp_path: Path, capsys: Out) -> None:
    many = [word for word in words if not word.startswith("pipeline.meta.steps")] + ["pipeline.meta.steps=400"]
    outputs = tmp_path / "outputs"

    def press() -> None:
        until = time.monotonic() + 60
        while not list(outputs.glob("*/*/checkpoints/1-meta/last.ckpt")) and time.monotonic() < until:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press).start()
    assert main([*POOL, *many, "seed=0,1"]) == 130
    assert "the same command" in capsys.readouterr().err.lower()
    assert list(outputs.glob("*/*/checkpoints/1-meta/last.ckpt"))
    assert not runs(outputs)
    assert main([*POOL, *many, "seed=0,1"]) == 0
    assert len(runs(outputs)) == 2
    for folder in runs(outputs):
        said = (folder / "metarun.log").read_text(encoding="utf-8")
        assert said.count("1-pretrain (pretrain): ") == 1, "what was finished is not run again"


@pytest.mark.slow
def test_a_finished_job_on_other_data_is_refused(tmp_path: Path, capsys: Out) -> None:
    data = tmp_path / "mine.csv"
    rows = [f"u{u},i{(u * 7 + 3 * k) % 40},{1 + (u + k) % 5}" for u in range(120) for k in range(12)]
    data.write_text("\n".join(["user,item,rating", *rows]))
    own = [f"dataset.path={data}", "dataset=ratings_csv", "backbone=mf", "dataset.supports=[1]", "dataset.queries=3"]
    quick = ["pretrain.epochs=1", "pipeline.meta.steps=1", "evaluate.against=[]", "evaluate.validation_tasks=5"]
    command = [*POOL, *own, *quick, f"paths.outputs={tmp_path}/outputs", "seed=0,1"]
    assert main(command) == 0
    data.write_text("\n".join(["user,item,rating", *rows[1:]]))
    capsys.readouterr()
    assert main(command) == 2
    err = capsys.readouterr().err
    assert err.count("holds a run of another config or of other data (data ") == 4  # as it is found, and at the end
    assert "0 of 2 jobs finished." in err
    assert main([*command, "--dry-run"]) == 2
    assert "2 jobs, 0 to do" in capsys.readouterr().out


@pytest.mark.slow
def test_two_points_that_are_the_same_run_are_one_job(words: list[str], capsys: Out) -> None:
    assert main([*POOL, *words, "seed=3,3"]) == 0
    assert "1 of 1 jobs finished." in capsys.readouterr().err
