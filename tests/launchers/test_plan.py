"""A dry run: every job is composed and named, none is run."""

from __future__ import annotations

from pathlib import Path

import pytest

from metarun import build, config, manifest
from metarun.cli import main

Out = pytest.CaptureFixture[str]
WORDS = ["-m", "--dry-run", "+experiment=movielens_maml", "dataset.version=sample"]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_every_job_is_listed_with_its_folder_and_state(capsys: Out) -> None:
    point = ["+experiment=movielens_maml", "dataset.version=sample", "strategy=meta/ridge", "seed=1"]
    folder = Path("outputs/movielens_maml") / config.run_id(point)
    begun = folder.parent / config.run_id([*point[:-1], "seed=0"])
    for home, seed in ((folder, 1), (begun, 0)):
        cfg = config.compose([*point[:-1], f"seed={seed}"])
        manifest.start(home, cfg, build.dataset(cfg).describe())
    (folder / "summary.json").write_text("{}")
    assert main([*WORDS, "strategy=meta/maml,meta/ridge", "seed=0,1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:5]] == ["1", "2", "3", "4"]
    assert lines[3].split() == ["3", begun.name, "begun", "strategy=meta/ridge", "seed=0"]
    assert lines[4].split() == ["4", folder.name, "finished", "strategy=meta/ridge", "seed=1"]
    assert lines[5] == "4 jobs, 3 to do; folders in outputs/movielens_maml. Nothing was run."
    assert sorted(path.name for path in folder.parent.iterdir()) == sorted([folder.name, begun.name])


def test_a_large_sweep_is_composed_to_its_last_job(capsys: Out) -> None:
    """Of more than 24 combinations a command itself composes a part; this pair is refused only together."""
    swept = ["dataset.split=cold,warm_80_20", "strategy=[],meta/maml", "seed=0,1,2,3,4,5,6"]
    assert main([*WORDS, *swept]) == 2
    out, err = capsys.readouterr()
    assert out.count("refused") == 7
    assert "28 jobs, 21 to do" in out
    assert "job 22: dataset.split=warm_80_20 has no unseen users" in err


def test_nothing_is_written_and_nothing_downloaded(
    capsys: Out, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def network(*_: object) -> None:
        raise AssertionError("a dry run asks no network")

    monkeypatch.setattr("metarun.data.movielens.resolve", network)
    monkeypatch.setattr("metarun.data.movielens.fetch", network)
    monkeypatch.setenv("METARUN_DATA", str(tmp_path))
    assert main(["-m", "--dry-run", "seed=0,1"]) == 0
    assert main(["-m", "--dry-run", "dataset.version=1m", "seed=0,1"]) == 0
    assert not list(tmp_path.iterdir())


def test_a_search_shows_its_space(capsys: Out) -> None:
    pytest.importorskip("optuna")
    assert main([*WORDS, "+sweep=pretraining", "backbone.dim=8"]) == 0
    out = capsys.readouterr().out
    assert "pretrain.lr" in out
    assert "backbone.dim" not in out, "what the command gives is not searched"
