"""A search by Optuna goes by validation values, and goes on where it was when it is started again."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from metarun import options, sweep
from metarun.cli import main
from metarun.config import compose
from metarun.errors import MetarunError

pytest.importorskip("optuna")
Out = pytest.CaptureFixture[str]
LISTS = ["+experiment=movielens_topn", "dataset.version=sample"]


@pytest.mark.parametrize("name", options.names("sweep"))
def test_every_ready_space_names_fields_that_there_are(name: str, capsys: Out) -> None:
    assert main(["+experiment=movielens_maml", "dataset.version=sample", f"+sweep={name}", "--dry-run"]) == 0


def test_a_space_of_a_typo_is_refused_before_a_job_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    (tmp_path / "sweep").mkdir()
    text = options.find("sweep/pretraining").read_text(encoding="utf-8").replace("backbone.dim", "backbone.dmi")
    (tmp_path / "sweep/mine.yaml").write_text(text)
    monkeypatch.setenv("METARUN_CONF", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert main(["+experiment=movielens_maml", "dataset.version=sample", "+sweep=mine"]) == 2
    assert "Did you mean 'backbone.dim'?" in capsys.readouterr().err


def test_the_direction_follows_the_metric() -> None:
    errors = compose(["+experiment=movielens_maml", "dataset.version=sample"])
    assert "hydra.sweeper.direction=minimize" in sweep.settings(errors, ["+sweep=pretraining"])
    lists = compose(LISTS)
    assert "hydra.sweeper.direction=maximize" in sweep.settings(lists, ["hydra/sweeper=optuna"])
    given = sweep.settings(lists, ["hydra/sweeper=optuna", "hydra.sweeper.direction=minimize"])
    assert not [word for word in given if "direction" in word]
    assert sweep.settings(lists, []) == []


def test_a_sampler_that_draws_nothing_has_no_seed() -> None:
    cfg = compose(["+experiment=movielens_maml", "dataset.version=sample"])
    words = ["hydra/sweeper=optuna", "hydra/sweeper/sampler=grid"]
    assert not [word for word in sweep.settings(cfg, words) if "seed" in word]
    assert "hydra.sweeper.sampler.seed=0" in sweep.settings(cfg, [words[0], "hydra/sweeper/sampler=random"])


def test_a_run_without_a_validation_value_is_not_searched() -> None:
    with pytest.raises(MetarunError, match="strategy="):
        sweep.settings(compose(["strategy=[]", "dataset.version=sample"]), ["+sweep=pretraining"])


@pytest.mark.slow
def test_a_search_reads_the_summaries_and_goes_on_where_it_was(words: list[str], tmp_path: Path, capsys: Out) -> None:
    kept = [word for word in words if not word.startswith("backbone.dim")]
    command = [*kept, "hydra/sweeper=optuna", "hydra/launcher=joblib", "backbone.dim=choice(2,3,4)"]
    command += ["pretrain.l2=interval(0.01,0.2)", "hydra.sweeper.n_trials=4"]
    assert main(command) == 0
    first = yaml.safe_load((tmp_path / "outputs/run/optimization_results.yaml").read_text())
    summaries = [json.loads(path.read_text()) for path in (tmp_path / "outputs").glob("*/*/summary.json")]
    assert len(summaries) == 4
    assert first["best_value"] == min(one["validation"]["meta/maml"] for one in summaries)
    capsys.readouterr()
    assert main(command) == 0
    err = capsys.readouterr().err
    assert len(re.findall("2 of 2 jobs were finished before", err)) == 2
    again = yaml.safe_load((tmp_path / "outputs/run/optimization_results.yaml").read_text())
    assert again == first


@pytest.mark.slow
def test_a_search_whose_jobs_all_fail_names_them(words: list[str], capsys: Out) -> None:
    kept = [word for word in words if not word.startswith("dataset.queries")]
    command = [*kept, "hydra/sweeper=optuna", "hydra/launcher=joblib", "dataset.queries=choice(500,600)"]
    assert main([*command, "hydra.sweeper.n_trials=2"]) == 2
    assert "0 of 2 jobs finished." in capsys.readouterr().err
