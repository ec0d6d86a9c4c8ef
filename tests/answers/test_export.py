"""What a run leaves: answers that equal those of the run itself, without its data."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from small_run import SHORT, SMALL, attempt, folder_of

import metarun
from metarun.answers import rebuild


@pytest.fixture(scope="module")
def finished(few_ratings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder, moved away from where it ran."""
    home = tmp_path_factory.mktemp("answers")
    words = [*SMALL, *SHORT, "backbone=mf_features", f"paths.data={few_ratings}", f"paths.outputs={home}/outputs"]
    assert attempt(words, home) == 0
    moved = home / "moved"
    shutil.move(folder_of(home), moved)
    return moved


def test_a_run_answers_anywhere(finished: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("METARUN_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    answers = metarun.load(finished)
    assert answers.method == "meta/maml"
    found = answers.recommend({"Film 1": 5, 2: 1}, k=5, explain=True, min_ratings=0)
    assert len(found) == 5
    assert len(found[0].because) == 2
    assert {1, 2}.isdisjoint(one.item for one in found)
    assert set(answers.content["chosen"]) == {0, 1, 3, 5}


def test_it_holds_no_ratings_and_little_else(finished: Path) -> None:
    path = finished / "answers.ckpt"
    assert path.stat().st_size < 100_000
    content = rebuild.read(path)
    rows = [len(value) for value in content.values() if isinstance(value, torch.Tensor) and value.ndim]
    assert max(rows) <= 60  # films; there are 150 people
    assert all(tensor.shape[:1] != (150,) for tensor in content["rule"].values() if isinstance(tensor, torch.Tensor))


def test_it_adapts_as_the_run_did(finished: Path) -> None:
    content = rebuild.read(finished / "answers.ckpt")
    answers = metarun.load(finished)
    model = answers.engine.rule.model
    item, y = torch.tensor([0, 3, 7]), torch.tensor([5.0, 2, 4])
    _, scores = answers.engine.adapt(item, y)
    features = model.features({"item": torch.arange(60)})
    batch = answers.engine.task(item[None], y[None], torch.ones(1, 3), None, answers.engine.context)
    assert torch.equal(batch.support.x[0], features[item])
    rule = rebuild.rule(content, finished)
    with torch.no_grad(), rule.set(content["chosen"][3]):
        from metarun.answers.engine import single

        state = rule.adapt(single(batch))
        torch.testing.assert_close(rule.predict(state, features)[:, 0], scores)
