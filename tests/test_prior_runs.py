"""Runs that meta-train the networks of MetaClassifier and MetaRegressor, and what is packed of them."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from metarun import MetaClassifier, MetaRegressor, config
from metarun.errors import MetarunError
from metarun.in_context.weights import unpacked
from metarun.results import read_json
from metarun.run import run

SMALL = [
    "dataset.features=4", "dataset.train_rows=8", "dataset.train_queries=5", "dataset.supports=[4,6]",
    "dataset.queries=9", "dataset.test_tasks=12", "evaluate.validation_tasks=8", "pipeline.meta.steps=3",
    "pipeline.meta.tasks=4", "dataset.block=4", "strategy.meta.width=8", "strategy.meta.heads=2", "dataset.classes=3",
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "cell", "metrics", "face"),
    [
        ("classifier", "classes", {"accuracy", "log_loss"}, MetaClassifier),
        ("regressor", "number", {"squared_error", "absolute_error"}, MetaRegressor),
    ],
)
def test_a_run_answers_and_is_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, cell: str, metrics: set[str], face: type
) -> None:
    overrides = [f"+experiment=prior_{kind}", *SMALL, f"paths.outputs={tmp_path}"]
    folder = Path(run(config.compose(overrides))["folder"])
    found = read_json(folder / "summary.json")["test"][cell]
    assert set(found) == {"4", "6"}
    assert metrics <= set(found["4"]["meta/in_context"])
    model = face(run="latest", outputs=tmp_path).fit([[0.0], [1.0]], [0, 1])
    script = Path(__file__).parent.parent / "scripts" / "package_weights.py"
    monkeypatch.setattr(sys, "argv", ["package_weights.py", kind, str(folder), "--to", str(tmp_path)])
    runpy.run_path(str(script), run_name="__main__")
    network, facts = unpacked((tmp_path / f"{kind}.npz").read_bytes())
    assert facts["experiment"] == f"prior_{kind}"
    assert facts["steps"] == 3
    for name, value in network.state_dict().items():
        assert torch.equal(value, model.network_.state_dict()[name])
    assert np.isfinite(model.predict([[0.5]])).all()


def test_other_strategies_need_padded_tables(tmp_path: Path) -> None:
    overrides = ["+experiment=prior_classifier", "strategy=meta/protonet", *SMALL[:-4], "dataset.classes=3"]
    overrides += ["backbone=mlp", "evaluate.against=[baseline/nearest_mean]", f"paths.outputs={tmp_path}"]
    with pytest.raises(MetarunError, match=r"the backbone reads 4: set dataset\.padded=true"):
        run(config.compose(overrides))
    folder = Path(run(config.compose([*overrides, "dataset.padded=true"]))["folder"])
    found = read_json(folder / "summary.json")["test"]["classes"]["6"]
    assert {"meta/protonet", "baseline/nearest_mean"} <= set(found)
