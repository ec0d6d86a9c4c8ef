"""The table of compressed backbones: the run's own accuracy first, the smallest weights gone, the rest rounded."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

from metarun import config
from metarun.data.images import mnist
from metarun.data.images.images import assemble
from metarun.results import read_json
from metarun.run import run

SCRIPTS = Path(__file__).parent.parent / "scripts"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module("compress_table")


def rows(out: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in out.splitlines() if line.startswith("|")]


@pytest.mark.parametrize("backbone", [["backbone=cnn_small"], ["backbone=mlp", "backbone.hidden=[16]"]])
def test_a_classifier(
    backbone: list[str], script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["+experiment=mnist_cnn", "dataset=digits", *backbone, "pretrain.epochs=1", f"paths.outputs={tmp_path}"]
    folder = Path(run(config.compose(words))["folder"])
    capsys.readouterr()
    assert script.main([str(folder), "--shares", "0.5", "0.9", "--turns", "1"]) == 0
    heads, _, *found = rows(capsys.readouterr().out)
    assert heads[:5] == ["backbone", "weights left", "KiB", "KiB deflated", "accuracy"]
    names = [f"{name}{kind}" for name in ("as trained", "50% pruned", "90% pruned") for kind in ("", ", int8")]
    assert [row[0] for row in found] == names
    own = read_json(folder / "summary.json")["test"]["warm"]["0"]["pretrain/supervised"]["accuracy"]["value"]
    assert found[0][4].startswith(f"{100 * own:.2f} ± ")
    assert [row[1] for row in found] == ["100.0%"] * 2 + ["50.0%"] * 2 + ["10.0%"] * 2
    kib, deflated = ([float(row[i]) for row in found] for i in (2, 3))
    assert kib[1] < kib[0] == kib[2] == kib[4]
    assert deflated[0] > deflated[2] > deflated[4] > deflated[5]


def test_nearest_means_of_a_few_shot_run(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["+experiment=digits_protonet", "pretrain=supervised", "strategy=transfer/probe", "pretrain.epochs=1"]
    words += [
        "dataset.test_tasks=20",
        "dataset.ways=[5,3]",
        "evaluate.validation_tasks=10",
        "strategy.transfer.steps=2",
    ]
    folder = Path(run(config.compose([*words, f"paths.outputs={tmp_path}"]))["folder"])
    capsys.readouterr()
    assert script.main([str(folder), "--shares", "0.8", "--turns", "1"]) == 0
    heads, _, first, *_ = rows(capsys.readouterr().out)
    test = read_json(folder / "summary.json")["test"]
    places = [(cell, shots) for cell in ("5-way", "3-way") for shots in ("1", "5")]
    assert heads[4:8] == [f"{cell}, shots {shots}" for cell, shots in places]
    for told, (cell, shots) in zip(first[4:8], places, strict=True):
        own = test[cell][shots]["baseline/nearest_mean"]["accuracy"]
        assert told == f"{100 * own['value']:.2f} ± {100 * own['ci95']:.2f} %"


def test_data_that_lie_in_a_folder_are_found_again(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    label = np.arange(60) % 10
    images = assemble("mnist", np.zeros((60, 1, 28, 28), np.uint8), label, list("0123456789"))
    asked: list[Path | None] = []
    monkeypatch.setattr(mnist, "read", lambda folder: asked.append(folder) or images)
    words = ["+experiment=mnist_cnn", "backbone=mlp", "backbone.hidden=[4]", "pretrain.epochs=1"]
    folder = Path(run(config.compose([*words, f"paths.outputs={tmp_path / 'runs'}"]))["folder"])
    assert script.main([str(folder), "--turns", "1"]) == 0
    assert "| 90% pruned, int8 |" in capsys.readouterr().out
    assert asked
    assert set(asked) == {None}, "METARUN_DATA, as in the run"


def test_the_smallest_weights_go_and_the_rest_stays(script: ModuleType) -> None:
    torch.manual_seed(0)
    given = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4, 10))
    before = torch.cat([given[0].weight.flatten(), given[2].weight.flatten()]).detach()
    made = script.pruned(given, 0.75)
    after = torch.cat([made[0].weight.flatten(), made[2].weight.flatten()]).detach()
    gone = before.abs().argsort()[: round(0.75 * len(before))]
    expected = before.clone()
    expected[gone] = 0.0
    assert torch.equal(after, expected)
    assert torch.equal(made[2].bias, given[2].bias)
    assert not list(made.buffers())
    assert torch.equal(before, torch.cat([given[0].weight.flatten(), given[2].weight.flatten()]).detach())


def test_weights_are_rounded_to_the_nearest_of_256(script: ModuleType) -> None:
    torch.manual_seed(0)
    given = nn.Sequential(nn.Linear(6, 5))
    weight = given[0].weight.detach()
    packed = script.quantised(given)[0].weight()
    scale, whole = packed.q_scale(), packed.int_repr().double()
    assert scale <= 1.02 * 2 * weight.abs().max() / 255
    torch.testing.assert_close(whole, torch.round(weight.double() / scale).clamp(-128, 127))
    assert isinstance(given[0], nn.Linear), "what was given stays"


@pytest.mark.parametrize(
    ("words", "said"), [([], "is no folder of a finished run"), (["--shares", "1.5"], "between 0 and 1")]
)
def test_what_cannot_be_compressed(
    words: list[str], said: str, script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        script.main([str(tmp_path), *words])
    assert said in capsys.readouterr().err
