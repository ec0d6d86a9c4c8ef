"""Whole runs on tables: a new group from a few rows, against scratch and pooled; what is wrong in the user's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from metarun import build, config
from metarun.errors import MetarunError
from metarun.results import read_json
from metarun.run import run

SMALL = [
    "dataset.test_tasks=8", "evaluate.validation_tasks=4", "pipeline.meta.steps=2", "pipeline.meta.tasks=2",
    "pretrain.epochs=2", "dataset.supports=[0,4]", "dataset.queries=10",
]  # fmt: skip
HEAD = "age,smokes,clinic,ill"


def table(path: Path, lines: list[str] | None = None, header: str = HEAD) -> Path:
    """Write a table of 4 clinics, in which the old are ill, with holes."""
    generator = np.random.default_rng(0)
    made = []
    for number in range(120):
        age = generator.integers(20, 80)
        told = "" if number % 11 == 0 else str(age)
        made.append(f"{told},{'yes' if number % 3 else 'no'},clinic {number % 4},{'ill' if age > 50 else 'well'}")
    path.write_text("\n".join([header, *(lines if lines is not None else made)]) + "\n", encoding="utf-8")
    return path


def finished(home: Path, *overrides: str) -> dict:
    """Run a config and return its summary."""
    folder = run(config.compose([*overrides, f"paths.outputs={home}"]))["folder"]
    return dict(read_json(Path(folder) / "summary.json"))


def test_a_new_clinic_of_the_users_own_table(tmp_path: Path) -> None:
    path = table(tmp_path / "patients.csv")
    found = finished(
        tmp_path, "+experiment=table", f"dataset.path={path}", "dataset.target=ill", "dataset.group=clinic",
        "dataset.test_group='clinic 1'", *SMALL,
    )  # fmt: skip
    assert found["dataset"] == "table_csv/patients"
    assert found["setting"]["test clinic"] == "clinic 1"
    judged = found["test"]["new clinic"]["4"]
    assert {name.split("/")[0] for name in judged} == {"baseline", "transfer", "online", "adaptive", "meta"}
    assert set(judged["meta/maml"]) >= {"accuracy", "log_loss", "auroc", "sensitivity", "specificity", "brier"}
    assert found["test"]["new clinic"]["0"]["baseline/boosting"]["accuracy"]["value"] > 0.8, "pooled knows the rule"
    assert found["test"]["new clinic"]["0"]["baseline/logistic"]["accuracy"]["value"] < 0.7, "scratch knows nothing yet"


def test_numbers_are_judged_in_their_own_units(tmp_path: Path) -> None:
    rows = [f"{place},{place % 2},clinic {place % 4},{100 + 50 * (place % 10)}" for place in range(120)]
    path = table(tmp_path / "days.csv", rows)
    found = finished(
        tmp_path, "+experiment=table", f"dataset.path={path}", "dataset.target=ill", "dataset.group=clinic",
        "dataset.labels=numbers", "objective=squared", "strategy=transfer/l2sp", "evaluate.metric=absolute_error",
        "evaluate.against=[baseline/logistic,baseline/boosting]", *SMALL,
    )  # fmt: skip
    errors = [entry["absolute_error"]["value"] for entry in found["test"]["new clinic"]["0"].values()]
    assert all(10 < error < 400 for error in errors)


def test_without_groups_rows_are_split(tmp_path: Path) -> None:
    found = finished(tmp_path, "+experiment=breast_cancer", "evaluate.against=[baseline/boosting]", *SMALL)
    assert found["dataset"] == "breast cancer"
    assert found["test"]["new sample"]["0"]["transfer/l2sp"]["accuracy"]["value"] > 0.8


def test_pretraining_leaves_the_head_where_the_classifier_is() -> None:
    cfg = config.compose(["+experiment=breast_cancer"])
    data = build.dataset(cfg)
    model = build.model(cfg, data.spec)
    task = build.pretraining(cfg, model, data.spec)
    task.finish(torch.zeros(0))
    assert torch.equal(model.head.weight, task.classifier)


@pytest.mark.parametrize(
    ("lines", "header", "words", "said"),
    [
        (None, HEAD, ["dataset.target=il"], "dataset.target=il: .* has no such column. Did you mean 'ill'"),
        (None, HEAD, ["dataset.target=ill", "dataset.group=clinik"], "dataset.group=clinik: .*Did you mean 'clinic'"),
        ([], HEAD, ["dataset.target=ill"], "has a header, but no rows"),
        (["1,yes,a,ill", "2,no,a,"], HEAD, ["dataset.target=ill"], "line 3: column 'ill' is empty"),
        (["1,yes,a,ill", "2,no,a,ill"], HEAD, ["dataset.target=ill"], "column 'ill' has one class, 'ill'"),
        (["1,yes,a,ill", "x,no,a,well"], HEAD, ["dataset.target=ill"], "line 3: column 'age': 'x' is not a number"),
        (["1,yes,a,1", "2,no,a,x"], HEAD, ["dataset.target=ill", "dataset.labels=numbers", "objective=squared",
          "evaluate.metric=absolute_error", "evaluate.against=[]", "evaluate.reference=baseline/boosting"],
         "line 3: column 'ill': 'x' is not a number"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_table_is_told_with_its_place(
    tmp_path: Path, lines: list[str] | None, header: str, words: list[str], said: str
) -> None:
    path = table(tmp_path / "t.csv", lines, header)
    cfg = config.compose(["+experiment=table", f"dataset.path={path}", *words])
    with pytest.raises(MetarunError, match=said):
        build.dataset(cfg).tasks("test")


def test_the_class_that_is_looked_for_is_the_second(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv")
    words = ["+experiment=table", f"dataset.path={path}", "dataset.target=ill"]
    plain, turned = (build.dataset(config.compose([*words, *more])).table for more in ([], ["dataset.positive=ill"]))
    assert (plain.classes, turned.classes) == (["ill", "well"], ["well", "ill"])
    assert [plain.classes[k] for k in plain.label] == [turned.classes[k] for k in turned.label]
    with pytest.raises(MetarunError, match=r"dataset\.positive=il: names one of two classes.*Did you mean 'ill'"):
        _ = build.dataset(config.compose([*words, "dataset.positive=il"])).table


@pytest.mark.parametrize("name", ["heart_disease", "parkinsons"])
def test_a_table_that_is_not_there_says_how_to_get_it(tmp_path: Path, name: str) -> None:
    cfg = config.compose([f"+experiment={name}", f"paths.data={tmp_path}"])
    with pytest.raises(MetarunError, match=r"download it from https://archive\.ics\.uci\.edu"):
        build.dataset(cfg).tasks("test")
