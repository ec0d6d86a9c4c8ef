"""Several inputs at once: any may be missing, what is missing says nothing, and a run shows each alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from spoken_files import RATE, spoken, tone

from metarun import config
from metarun.answers.rows import load as rows_of
from metarun.backbones.fusion import Fusion
from metarun.data.named import only, packed, segments, some_missing
from metarun.data.own_inputs import as_bytes
from metarun.datasets.spoken_written_digits import SpokenWrittenDigits
from metarun.errors import MetarunError
from metarun.model import Spec
from metarun.results import read_json
from metarun.run import run
from metarun.strategies.baseline.late_average import Averaged

SHAPES = {"image": (1, 8, 8), "table": (3,)}
VIEW: dict[str, Any] = {
    "split_seed": 0, "test_group": "ben", "supports": [0, 4], "queries": 8, "train_shots": None, "train_queries": None,
    "test_tasks": 4, "bands": 16, "train_changes": 1.0, "train_missing": 0.5, "seconds": 0.5,
    "inputs": ["written", "spoken"],
}  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("soundfile")
    return spoken(tmp_path_factory.mktemp("spoken"))


def rows(number: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    made = {name: torch.randint(0, 256, (number, *shape), generator=generator) for name, shape in SHAPES.items()}
    return packed({name: value.to(torch.uint8) for name, value in made.items()}, {})


def test_a_missing_input_says_nothing_and_the_others_are_as_if_it_were_none() -> None:
    torch.manual_seed(0)
    net = Fusion(8, 4, "group", spec=Spec(shape=(69,), inputs=SHAPES))
    x = rows()
    alone = only(x, "table", SHAPES)
    other = alone.clone()
    other[:, 1:65] = 77  # what stands behind the mark of an input that is missing
    assert torch.allclose(net(alone), net(other))
    assert not torch.allclose(net(alone), net(x))
    assert torch.isfinite(net(torch.zeros_like(x))).all()
    both, first, second = (net(part)[:, :-1] for part in (x, only(x, "image", SHAPES), alone))
    assert torch.allclose(both, (first + second) / 2, atol=1e-6)


def test_training_rows_lack_one_input_as_often_as_asked_and_never_all() -> None:
    x = rows(1).expand(4000, -1)
    found = some_missing(x, torch.arange(4000), 0.5, SHAPES)
    marks = torch.stack([found[:, part.start] > 0 for part in segments(SHAPES).values()], 1)
    assert marks.any(1).all()
    assert (~marks).float().mean(0).tolist() == pytest.approx([0.25, 0.25], abs=0.03)
    assert torch.equal(found[5:], some_missing(x[5:], torch.arange(5, 4000), 0.5, SHAPES))


def test_no_image_is_in_two_parts_and_every_image_is_of_the_class(home: Path) -> None:
    pytest.importorskip("sklearn")
    data = SpokenWrittenDigits(str(home), **VIEW)
    assert data.cells == ["new speaker", "written alone", "spoken alone"]
    seen = [{tuple(row.flatten().tolist()) for row in data.written[data.part == part]} for part in range(3)]
    assert not seen[0] & seen[2]
    assert not seen[0] & seen[1]
    full, spoken_only = (data.tasks("test", cell).batch(torch.arange(3)).query for cell in (None, "spoken alone"))
    assert torch.equal(full.y, spoken_only.y)
    assert (spoken_only.x[..., 0] == 0).all()
    assert (full.x[..., 0] == 255).all()


def test_late_averaging_reads_what_is_there() -> None:
    pytest.importorskip("sklearn")
    generator = np.random.default_rng(0)
    y = np.arange(40) % 2
    x = np.hstack([np.full((40, 1), 255), 200 * y[:, None] + generator.normal(size=(40, 1)),
                   np.full((40, 1), 255), generator.normal(size=(40, 2))])  # fmt: skip
    found = Averaged({"a": slice(0, 2), "b": slice(2, 5)}, 5, 1.0).fit(x, y)
    assert (found.predict_proba(x).argmax(1) == y).all()
    x[:, 0] = 0
    chance = found.predict_proba(x)
    assert np.allclose(chance.sum(1), 1)
    assert np.allclose(chance, found.fitted["b"].predict_proba(x[:, 3:] / 255))
    x[:, 2] = 0
    assert np.allclose(found.predict_proba(x), 0.5)


def test_fusion_needs_named_inputs() -> None:
    with pytest.raises(MetarunError, match="several named inputs"):
        Fusion(8, 4, "group", spec=Spec(shape=(3,)))


def test_a_run_shows_both_and_each_alone(home: Path, tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    found = run(config.compose([
        "+experiment=spoken_written_digits", f"paths.data={home}", "dataset.test_group=ben", "dataset.queries=10",
        "dataset.supports=[0,5]", "dataset.test_tasks=3", "evaluate.validation_tasks=2", "dataset.bands=16",
        "dataset.seconds=0.5", "evaluate.against=[baseline/late_average]", "pretrain.epochs=40", "backbone.width=16",
        "backbone.channels=4", f"paths.outputs={tmp_path}",
    ]))  # fmt: skip
    summary = read_json(Path(found["folder"]) / "summary.json")
    assert set(summary["test"]) >= {"new speaker", "written alone", "spoken alone"}
    accuracy = summary["test"]["new speaker"]["5"]["transfer/probe"]["accuracy"]["value"]
    assert accuracy > 0.5
    with pytest.raises(MetarunError, match="several inputs at once"):
        rows_of(found["folder"])


def things(folder: Path) -> Path:
    """Write a table of 3 groups of 24 rows: a photo bright or dark, a tone, a number, a label that all three tell."""
    images = pytest.importorskip("PIL.Image")
    soundfile = pytest.importorskip("soundfile")
    draws = np.random.default_rng(0)
    lines = ["photo,sound,weight,height,shop,label"]
    for row in range(72):
        heavy = row % 2
        picture = np.clip(draws.normal(60 + 130 * heavy, 20, (9, 12)), 0, 255).astype(np.uint8)
        images.fromarray(picture).save(folder / f"{row}.png")
        soundfile.write(folder / f"{row}.wav", tone(300 + 900 * heavy + 5 * draws.normal()), RATE)
        given = [f"{row}.png", f"{row}.wav", f"{1 + heavy + 0.1 * draws.normal():.3f}"]
        given = [value if draws.random() > 0.1 else "" for value in given]
        lines.append(",".join([*given, str(row), "abc"[row // 24], ("light", "heavy")[heavy]]))
    (folder / "things.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "things.csv"


def test_a_table_of_files_and_numbers_is_learned_and_answered(tmp_path: Path) -> None:
    table = things(tmp_path)
    found = run(config.compose([
        "+experiment=spoken_written_digits", "dataset=inputs_csv", f"dataset.path={table}", "dataset.images=[photo]",
        "dataset.clips=[sound]", "dataset.numbers=[weight,height]", "dataset.group=shop", "dataset.side=16",
        f"dataset.rate={RATE}", "dataset.seconds=0.5", "dataset.bands=16", "dataset.queries=10", "dataset.test_tasks=3",
        "evaluate.validation_tasks=2", "evaluate.against=[baseline/late_average]", "backbone.channels=4",
        "backbone.width=16", "pretrain.epochs=60", "pretrain.batch=12", f"paths.outputs={tmp_path}",
    ]))  # fmt: skip
    summary = read_json(Path(found["folder"]) / "summary.json")
    assert set(summary["test"]) >= {"new group", "photo alone", "sound alone", "numbers alone"}
    assert summary["test"]["new group"]["5"]["transfer/probe"]["accuracy"]["value"] > 0.8
    lines = table.read_text(encoding="utf-8").splitlines()
    (tmp_path / "query.csv").write_text("\n".join([lines[0], "3.png,,,,x,heavy", ",8.wav,,,x,light"]) + "\n")
    answers = rows_of(found["folder"])
    told = answers.predict(None, tmp_path / "query.csv")
    assert told.label.tolist() == ["heavy", "light"]
    for line, said in (("99.png,,,,x,heavy", "line 2: column 'photo': .*99.png is no file"),
                       ("3.png,,much,,x,heavy", "line 2: column 'weight': 'much' is not a number"),
                       ("3.png,,,,x,huge", "'huge', and the classes of the run are")):  # fmt: skip
        (tmp_path / "query.csv").write_text(f"{lines[0]}\n{line}\n")
        with pytest.raises(MetarunError, match=said):
            answers.predict(None, tmp_path / "query.csv")


def test_numbers_are_read_as_training_groups_taught_and_holes_are_the_mean() -> None:
    numbers = np.array([[1.0], [3.0], [np.nan], [99.0]])
    found = as_bytes(numbers, np.array([2.0]), np.array([1.0]))
    assert found[:, 0].tolist() == [96, 160, 128, 255]
