"""What the loop hands on: stages of one run do not leak into what is judged on its own."""

import json
from pathlib import Path

import numpy as np
import pytest
from small_run import SMALL, write_ratings

from metarun import build, config
from metarun.data.split import SLICE, SOURCE, roles
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


def test_retraining_is_a_row_of_its_own_and_changes_no_other(finished):
    over_time = ["strategy=online/sgd", "dataset.split=time", "evaluate.prequential=true"]
    with_it = finished(*over_time, "evaluate.against=[baseline/ridge,baseline/frozen,baseline/retrained]")
    without = finished(*over_time, "evaluate.against=[baseline/ridge,baseline/frozen]")
    for method in ("baseline/ridge", "baseline/frozen", "online/sgd"):
        for a, b in zip(values(with_it, method), values(without, method), strict=True):
            np.testing.assert_array_equal(a, b)
    pairs = zip(values(with_it, "baseline/retrained"), values(with_it, "baseline/ridge"), strict=True)
    assert any((a != b).any() for a, b in pairs)
    assert {path.parent.name for path in with_it.glob("checkpoints/own-*-retrain/model.ckpt")} == {
        "own-1-retrain",
        "own-2-retrain",
    }


def test_retraining_sees_all_rows_before_the_slices_that_judge(finished):
    folder = finished(
        "strategy=online/sgd", "dataset.split=time", "evaluate.against=[baseline/ridge,baseline/retrained]"
    )
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    steps = {row["stage"]: row["step"] for row in rows if row["method"] == "pretrain"}
    data = build.dataset(config.compose([*SMALL, "dataset.split=time"]))
    role = roles("time", data.ratings, 0, 2)
    # Four epochs in batches of 256: the first half, then also the slice of round 1, then also that of round 2.
    seen = [
        sum(int((role == kind).sum()) for kind in kinds)
        for kinds in ((SOURCE,), (SOURCE, SLICE + 1), (SOURCE, SLICE + 1, SLICE + 2))
    ]
    expected = [4 * -(-rows // 256) for rows in seen]
    assert [steps[key] for key in ("1-pretrain", "own-1-retrain", "own-2-retrain")] == expected
