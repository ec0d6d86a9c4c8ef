"""Pretraining without labels: its losses by plain loops in float64, what it never sees, and what is said of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from array_toys import model
from small_run import Kill, attempt, bits, command, complaint, differing, folder_of
from torch import Tensor

from metarun.model import Spec
from metarun.pretraining.contrastive import Contrastive, nt_xent
from metarun.pretraining.probing import Labelled, worth
from metarun.pretraining.reconstruction import Reconstruction

FEATURES = 5
FIELDS: dict[str, Any] = {"epochs": 1, "batch": 6, "lr": 0.01, "hidden": 7}


def rows(number: int = 6) -> Tensor:
    return torch.rand(number, FEATURES, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def draws() -> torch.Generator:
    return torch.Generator().manual_seed(4)


def made(kind: Any, **fields: Any) -> Any:
    torch.manual_seed(0)
    spec = Spec(shape=(FEATURES,), outputs=4)
    return kind(**FIELDS, **fields, model=model("classification"), spec=spec).double()


def value(task: Any, x: Tensor, part: slice = slice(None)) -> Tensor:
    y = torch.zeros(len(x), dtype=torch.int64)
    found: Tensor = task.loss(torch.arange(len(x)), x, y, {}, draws(), part)
    return found


def test_nt_xent_is_that_of_a_loop_over_pairs() -> None:
    z, heat = torch.randn(8, 3, dtype=torch.float64, generator=draws()), 0.3
    expected = []
    for i in range(8):
        like = [float(z[i] @ z[j] / (z[i].norm() * z[j].norm())) / heat for j in range(8)]
        others = [like[j] for j in range(8) if j != i]
        expected.append(np.log(np.sum(np.exp(others))) - like[(i + 4) % 8])
    np.testing.assert_allclose(nt_xent(z, heat), expected)


@pytest.mark.parametrize("masked", [0.0, 0.4])
def test_the_error_is_that_of_what_was_left_out_if_anything_was(masked: float) -> None:
    task, x = made(Reconstruction, noise=0.0, masked=masked), rows()
    hidden = torch.rand(x.shape, generator=draws()) < masked
    told = task.decoder(task.model.backbone(torch.where(hidden, 0.0, x)))
    error = (told - x).square()
    torch.testing.assert_close(value(task, x), error[hidden].mean() if masked else error.mean())


@pytest.mark.parametrize("fields", [{"noise": 0.2, "masked": 0.0}, {"noise": 0.0, "masked": 0.5}])
def test_parts_of_a_batch_add_up_to_the_whole(fields: dict[str, float]) -> None:
    more = {"projected": 4, "temperature": 0.5, "affine": 0.0}
    for task in (made(Reconstruction, **fields), made(Contrastive, **fields, **more)):
        whole = value(task, rows())
        torch.testing.assert_close(value(task, rows(), slice(0, 2)) + value(task, rows(), slice(2, 6)), whole)


def test_labels_are_never_looked_at() -> None:
    task = made(Reconstruction, noise=0.1, masked=0.0)
    x, broken = rows(), torch.full((6,), -7)
    assert torch.equal(task.loss(torch.arange(6), x, broken, {}, draws()), value(task, x))


def test_images_are_changed_each_in_a_way_of_its_own() -> None:
    task = made(Contrastive, projected=4, temperature=0.5, affine=1.0, noise=0.0, masked=0.0)
    x = torch.zeros(2, 1, 12, 12, dtype=torch.uint8)
    x[:, :, 3:9, 5:7] = 255
    generator = draws()
    once, twice = task.changed(x, generator), task.changed(x, generator)
    assert not torch.equal(once, twice)
    assert not torch.equal(once[0], once[1])
    assert float(once.max()) <= 1


def test_a_probe_knows_separate_classes_and_not_noise() -> None:
    draw = np.random.default_rng(0)
    y = torch.from_numpy(draw.integers(0, 3, 300))
    noise = torch.from_numpy(draw.normal(size=(300, 4)))
    clear = noise + 8 * torch.nn.functional.one_hot(y, 4)
    same = torch.nn.Identity()
    found = [worth(same, Labelled(x[:100], y[:100], x[100:], y[100:])) for x in (clear, noise)]
    assert found[0].linear_probe > 0.98
    assert found[0].knn > 0.98
    assert abs(found[1].linear_probe - 1 / 3) < 0.12
    assert abs(found[1].knn - 1 / 3) < 0.12


def words(home: Path, *more: str) -> list[str]:
    return [
        "+experiment=digits_protonet", "pretrain=simclr", "pretrain.epochs=4", "strategy=transfer/ridge",
        "evaluate.against=[baseline/nearest_mean]", "evaluate.validation_tasks=5", "dataset.test_tasks=10",
        "pipeline.save_every=3", f"paths.outputs={home}/outputs", *more,
    ]  # fmt: skip


def test_what_features_are_worth_is_said_kept_and_taken_up(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    for name in "ab":
        (tmp_path / name).mkdir()
    assert attempt(words(tmp_path / "a"), tmp_path / "a") == 0
    said = (tmp_path / "a" / "log").read_text(encoding="utf-8")
    assert "frozen features on validation classes, untrained -> pretrained: linear probe" in said
    lines = (folder_of(tmp_path / "a") / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    looks = [row for row in map(json.loads, lines) if row["protocol"] == "frozen features"]
    assert [row["metric"] for row in looks] == ["linear_probe", "knn"] * 6
    assert [row["step"] for row in looks[::2]] == sorted({row["step"] for row in looks})
    assert looks[0]["step"] == 0
    assert attempt(words(tmp_path / "b"), tmp_path / "b", Kill("step", "1-pretrain", 10)) != 0
    assert attempt(words(tmp_path / "b"), tmp_path / "b") == 0
    assert not differing(bits(folder_of(tmp_path / "a")), bits(folder_of(tmp_path / "b")))


@pytest.mark.parametrize("pretrain", ["none", "simclr", "autoencoder", "masked"])
def test_without_labels_there_is_no_classifier_to_judge(pretrain: str, tmp_path: Path) -> None:
    words = ["+experiment=mnist_cnn", "dataset=digits", "dataset.split=images", f"pretrain={pretrain}"]
    line = complaint(command(words, tmp_path))
    assert "use pretrain=supervised, or dataset.split=seeded" in line
