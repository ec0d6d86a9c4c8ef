"""Whole runs on episodes: what they report, that every method sees the same tasks, and that they resume exactly."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from small_run import Kill, attempt, bits, differing, folder_of

from metarun import MetaClassifier, MetaRegressor, build, config
from metarun.answers import arrays
from metarun.data.episodes import Episodes
from metarun.errors import MetarunError
from metarun.results import load_scores, read_json
from metarun.run import run

DIGITS = [
    "+experiment=digits_protonet", "backbone=mlp", "dataset.test_tasks=40", "dataset.queries=2",
    "evaluate.validation_tasks=20", "pipeline.meta.steps=12", "pipeline.meta.tasks=4", "pipeline.save_every=5",
]  # fmt: skip
SINUSOID = [
    "+experiment=sinusoid_maml", "backbone.hidden=[8]", "dataset.test_tasks=30", "evaluate.validation_tasks=10",
    "pipeline.meta.steps=10", "pipeline.meta.tasks=4",
]  # fmt: skip


def finished(home: Path, *overrides: str) -> Path:
    """Run a config and return its folder."""
    return Path(run(config.compose([*overrides, f"paths.outputs={home}"]))["folder"])


def test_a_run_on_digits_reports_accuracy_with_its_normalisation(tmp_path: Path) -> None:
    summary = read_json(finished(tmp_path, *DIGITS, "dataset.ways=[5,3]", "backbone.norm=support") / "summary.json")
    assert summary["cells"] == ["5-way", "3-way"]
    assert summary["setting"]["normalisation"] == "statistics of the support (inductive)"
    assert summary["winner"] == "meta/protonet"
    for cell, chance in (("5-way", 0.2), ("3-way", 1 / 3)):
        for shots in ("1", "5"):
            found = summary["test"][cell][shots]["baseline/nearest_mean"]["accuracy"]
            assert found["n"] == 40
            assert chance < found["value"] <= 1
            assert 0 < found["ci95"] < 0.1
    assert summary["test"]["5-way"]["5"]["baseline/nearest_mean"]["log_loss"]["value"] > 0


def test_transductive_normalisation_is_named_in_every_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from metarun import report

    report.show(read_json(finished(tmp_path, *DIGITS, "backbone.norm=query") / "summary.json"))
    assert "(transductive)" in " ".join(capsys.readouterr().out.split())


def test_every_method_has_the_same_episodes_and_reads_each_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: Counter[int] = Counter()
    real = Episodes.batch

    def counted(self: Episodes, indices: torch.Tensor) -> Any:
        task = real(self, indices)
        if self.all_shots:
            read.update(f"{self.name} {key}" for key in task.context["key"].tolist())  # type: ignore[misc]
        return task

    monkeypatch.setattr(Episodes, "batch", counted)
    folder = finished(tmp_path, *DIGITS, "dataset.supports=[1]")
    cfg = config.compose([*DIGITS, "dataset.supports=[1]"])
    tests = build.dataset(cfg).tasks("test")
    keys = [f"{tests.name} {key}" for key in real(tests, torch.arange(40)).context["key"].tolist()]
    assert {read[key] for key in keys} == {2}  # one for each of the two methods  # type: ignore[index]
    ids = {score.ids.tobytes() for score in load_scores(folder / "task_scores.npz")}
    assert len(ids) == 1


def test_pretraining_is_judged_on_held_out_images_of_known_classes(tmp_path: Path) -> None:
    words = ["+experiment=mnist_cnn", "dataset=digits", "backbone=mlp", "pretrain.epochs=2", "pretrain.lr=0.01"]
    folder = finished(tmp_path, *words)
    data = build.dataset(config.compose(words))
    assert data.spec.classes == 10
    assert np.bincount(data.images.label[data.held_out]).tolist() == (np.bincount(data.images.label) // 5).tolist()
    (score,) = [s for s in load_scores(folder / "task_scores.npz") if s.metric == "accuracy" and "pretrain" in s.method]
    assert set(score.values) <= {0.0, 1.0}
    assert score.ids.tolist() == np.flatnonzero(data.held_out).tolist()
    assert score.values.mean() > 0.8
    with pytest.raises(MetarunError, match="no unseen classes to adapt to"):
        config.compose([*words, "strategy=meta/protonet"])


def test_a_share_of_the_labels_is_told_under_the_table_and_in_the_cost(tmp_path: Path) -> None:
    words = ["+experiment=mnist_cnn", "dataset=digits", "backbone=mlp", "pretrain.epochs=1", "dataset.label_share=0.05"]
    summary = read_json(finished(tmp_path, *words) / "summary.json")
    assert summary["setting"]["label_share"] == 0.05
    assert summary["optimiser_steps"] == -(-1442 // 32)  # as with all labels


def test_a_run_on_sine_waves_reports_the_mean_squared_error(tmp_path: Path) -> None:
    folder = finished(tmp_path, *SINUSOID)
    summary = read_json(folder / "summary.json")
    assert summary["dataset"] == "sinusoid/finn"
    found = summary["test"]["finn"]["5"]["meta/maml"]["squared_error"]
    (score,) = [
        s
        for s in load_scores(folder / "task_scores.npz")
        if (s.metric, s.support, s.method) == ("squared_error", 5, "meta/maml")
    ]
    assert found["value"] == pytest.approx(score.values.mean())
    assert 1 < found["value"] < 8


@pytest.mark.slow
@pytest.mark.parametrize(
    "kill", [Kill("step", "1-meta", 8), Kill("call", "Judge.test", 1), Kill("step", "1-pretrain", 7)]
)
def test_a_killed_run_ends_with_the_same_bits(tmp_path: Path, kill: Kill) -> None:
    words = [*DIGITS, "pretrain=supervised", "pretrain.epochs=1", "pretrain.batch=128"]
    homes = [tmp_path / "whole", tmp_path / "killed"]
    for home, at in zip(homes, (None, kill), strict=True):
        home.mkdir()
        mine = [*words, f"paths.outputs={home}/outputs"]
        code = attempt(mine, home, at)
        assert (code != 0) == (at is not None)
        if at is not None:
            assert attempt(mine, home) == 0
    assert differing(bits(folder_of(homes[0])), bits(folder_of(homes[1]))) == []


def test_a_finished_run_adapts_to_plain_arrays(tmp_path: Path) -> None:
    folder = finished(tmp_path, *DIGITS)
    found, data = arrays.load(folder), build.dataset(config.compose(DIGITS))
    task = data.tasks("test").batch(torch.arange(10))
    right = []
    for x, y, asked, truth in zip(task.support.x, task.support.y, task.query.x, task.query.y, strict=True):
        out = found.outputs_of(x, y, asked, 5)
        right.append((out.argmax(1) == truth).float().mean())
    (score,) = [
        s
        for s in load_scores(folder / "task_scores.npz")
        if (s.metric, s.support, s.method) == ("accuracy", 5, "meta/protonet")
    ]
    assert torch.stack(right).tolist() == pytest.approx(score.values[:10].tolist())
    x, y, asked = task.support.x[0].flatten(1).numpy(), task.support.y[0].numpy(), task.query.x[0].flatten(1).numpy()
    model = MetaClassifier(run=folder).fit(x, np.array(list("vwxyz"))[y])
    assert model.score(asked, np.array(list("vwxyz"))[task.query.y[0].numpy()]) == pytest.approx(score.values[0])
    assert np.array_equal(model.predict_proba(asked), model.predict_proba(asked))
    np.testing.assert_allclose(
        MetaClassifier(run=folder).fit(x / 255, y).predict_proba(asked / 255), model.predict_proba(asked), atol=1e-5
    )
    with pytest.raises(ValueError, match=r"reads 64 features \(1 x 8 x 8\), it was given 2"):
        MetaClassifier(run=folder).fit([[0, 1], [1, 0]], [0, 1])
    with pytest.raises(ValueError, match="was given 6 classes and is made for at most 5"):
        MetaClassifier(run=folder).fit(np.zeros((6, 64)), range(6))
    with pytest.raises(MetarunError, match="makes a MetaClassifier"):
        MetaRegressor(run=folder).fit(x, y)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["evaluate.metric=rmse"], "evaluate.metric=rmse does not measure classes: use evaluate=episodes"),
        (["evaluate=default"], "baseline/constant needs items"),
        (["backbone.norm=support", "dataset.supports=[0,1]"], "of which 0 in dataset.supports has none"),
        (["backbone.norm=query", "dataset.split=images", "strategy=[]"], "dataset.split=images has none"),
        (["strategy=online/sgd"], "strategy/online/sgd needs stream"),
        (["backbone.norm=batch"], "not allowed, give support | query | group | none"),
        (["dataset=sinusoid"], "objective/cross_entropy needs classification"),
        (["strategy=meta/ials"], "needs interactions"),
        (["backbone=mf"], "needs items"),
        (["dataset.label_share=0.1"], "dataset.label_share=0.1 is a share of the images whose classes pretraining"),
        (["dataset.rotations=[45]"], "dataset.rotations"),
    ],
)
def test_impossible_pairs_are_refused_when_the_config_is_composed(words: list[str], said: str) -> None:
    with pytest.raises(MetarunError) as caught:
        config.compose([*DIGITS, *words])
    assert said in str(caught.value)


def test_a_transductive_run_has_no_answer_for_a_row_alone(tmp_path: Path) -> None:
    folder = finished(tmp_path, *DIGITS, "backbone.norm=query")
    with pytest.raises(MetarunError, match=r"backbone\.norm=query"):
        MetaClassifier(run=folder).fit(np.zeros((5, 64)), range(5))


def test_pixels_in_another_range_are_refused(tmp_path: Path) -> None:
    model = MetaClassifier(run=finished(tmp_path, *DIGITS)).fit(np.full((5, 64), 0.5), range(5))
    with pytest.raises(ValueError, match=r"reads pixels from 0 to 1, .* given were 16 to 16"):
        model.predict(np.full((1, 64), 16.0))


def test_zero_shot_learns_from_descriptions_and_is_no_classifier_of_plain_arrays(tmp_path: Path) -> None:
    folder = finished(tmp_path, *DIGITS, "strategy=meta/zeroshot", "dataset.supports=[0]", "pipeline.meta.steps=40")
    found = read_json(folder / "summary.json")["test"]["5-way"]["0"]
    assert found["meta/zeroshot"]["accuracy"]["value"] > 0.25
    assert found["baseline/nearest_mean"]["accuracy"]["value"] == pytest.approx(0.2, abs=0.03)
    with pytest.raises(MetarunError, match="needs descriptions of the classes"):
        arrays.load(folder)


def test_what_a_method_asks_of_the_data_is_told_before_pretraining(tmp_path: Path) -> None:
    images = tmp_path / "images"
    for name in "abcdefghi":
        (images / name).mkdir(parents=True)
        for i in range(8):
            Image.new("L", (8, 8), 20 * i).save(images / name / f"{i}.png")
    words = [
        *DIGITS, "dataset=image_folder", f"dataset.path={images}", "dataset.ways=[2]", "strategy=meta/zeroshot",
        "dataset.supports=[0]", "pretrain=supervised", "dataset.shares=[0.4,0.3,0.3]",
    ]  # fmt: skip
    with pytest.raises(MetarunError, match=r"descriptions\.csv"):
        finished(tmp_path, *words)
    assert not list(tmp_path.rglob("*.ckpt"))
