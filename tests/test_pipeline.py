"""What the loop hands on: stages of one run do not leak into what is judged on its own."""

from pathlib import Path

import numpy as np
import pytest
from small_run import SMALL, write_ratings

from metarun import config
from metarun.results import load_scores, read_json
from metarun.run import run


@pytest.fixture
def finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that runs the small config with overrides and returns its folder."""
    monkeypatch.setenv("METARUN_DATA", str(write_ratings(tmp_path / "data")))
    monkeypatch.setenv("METARUN_CACHE", str(tmp_path / "cache"))

    def go(*overrides: str) -> Path:
        cfg = config.compose([*SMALL, f"paths.outputs={tmp_path / 'outputs'}", *overrides])
        return Path(run(cfg)["folder"])

    return go


def values(folder: Path, method: str) -> list[np.ndarray]:
    """Return every test score of a method."""
    return [score.values for score in load_scores(folder / "task_scores.npz") if score.method == method]


def test_a_baseline_does_not_depend_on_the_strategy_of_the_run(finished):
    again = "pipeline.repretrain=each_round"
    one = finished("strategy=meta/maml", again)
    other = finished("strategy=[transfer/finetune,online/sgd]", again)
    for a, b in zip(values(one, "baseline/ridge"), values(other, "baseline/ridge"), strict=True):
        np.testing.assert_array_equal(a, b)


def test_of_online_and_adaptive_the_better_is_kept_and_both_are_reported(finished):
    summary = read_json(finished("strategy=[online/sgd,adaptive/fixed_share]") / "summary.json")
    assert {"online/sgd", "adaptive/fixed_share"} <= set(summary["test"]["user-cold"]["5"])


def test_limits_end_the_rounds_and_say_so(finished):
    summary = read_json(finished("strategy=meta/maml", "pipeline.max_steps=1") / "summary.json")
    assert any("stopped before round 2: pipeline.max_steps=1" in line for line in summary["warnings"])
