"""Images that a run cannot use are refused in one line, before anything is trained."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metarun.cli import main

Out = pytest.CaptureFixture[str]
RUN = [
    "+experiment=digits_protonet", "dataset=image_folder", "dataset.path=birds", "dataset.ways=[2]",
    "dataset.supports=[1,2]", "dataset.queries=2", "dataset.shares=[.4,.3,.3]", "trainer.threads=1",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _ten_birds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder `birds` of ten classes of five images each."""
    monkeypatch.chdir(tmp_path)
    for name in ("METARUN_CONF", "METARUN_TRUST", "METARUN_DATA", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    random = np.random.default_rng(0)
    for number in range(50):
        place = Path("birds") / f"bird{number // 5}" / f"{number % 5}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (8, 8), dtype=np.uint8)).save(place)


def larger() -> None:
    Image.new("L", (9, 7)).save("birds/bird4/2.png")


def cut_off() -> None:
    os.truncate("birds/bird3/1.png", 60)


def no_image() -> None:
    Path("birds/bird3/1.png").write_text("<html>not found</html>")


def emptied() -> None:
    for path in Path("birds/bird6").iterdir():
        path.unlink()


def whole() -> None:
    """Leave the folder as it is."""


BAD: list[tuple[Callable[[], None], list[str], str]] = [
    (larger, [], "bird4/2.png is 9 x 7: set dataset.size=SIDE, in pixels, to scale all to one size"),
    (cut_off, [], "birds/bird3/1.png is not an image that can be read, or damaged"),
    (no_image, [], "birds/bird3/1.png is not an image that can be read, or damaged"),
    (emptied, [], "birds/bird6 has no image (.png, .jpg, .jpeg, .bmp, .gif, .webp), nothing at all: put images"),
    (whole, ["dataset.path=gone"], "dataset.path=gone does not exist: name a folder that has a folder of images"),
    (whole, ["dataset.path=birds/bird1"], "dataset.path=birds/bird1 has no class folders"),
    (whole, ["dataset.path=birds/bird1/1.png"], "dataset.path=birds/bird1/1.png is a file, not a folder"),
    (
        whole,
        ["dataset.ways=[4]"],
        "dataset.ways=4: image_folder/birds (split seeded, seed 0) has 3 classes in its validation part; lower it, or "
        "give that part more of dataset.shares",
    ),
    (whole, ["dataset.ways=[2,4]"], "dataset.ways=4: image_folder/birds (split seeded, seed 0) has 3 classes in its"),
    (whole, ["dataset.supports=[4]"], "4 shots and 2 queries need 6 images of a class, but 'bird"),
    (whole, ["dataset.queries=9"], "2 shots and 9 queries need 11 images of a class, but 'bird"),
    (
        whole,
        ["dataset.train_ways=[2,5]", "pretrain=supervised"],
        "dataset.train_ways=5: image_folder/birds (split seeded, seed 0) has 4 classes in its train part",
    ),
    (
        whole,
        ["dataset.train_queries=5", "pretrain=supervised"],
        "lower dataset.supports or dataset.queries (dataset.train_shots, dataset.train_queries)",
    ),
    (whole, ["dataset.split=seded"], "dataset.split=seded: not allowed, give seeded | images. Did you mean 'seeded'?"),
    (whole, ["dataset.split=vinyals"], "dataset.split=vinyals: not allowed, give seeded | images"),
    (whole, ["dataset.split=images", "backbone.norm=none"], "dataset.split=images has no unseen classes to adapt to"),
    (whole, ["dataset.shares=[.5,.5]"], "dataset.shares=[0.5, 0.5]: give three shares, of train, validation, test"),
]


@pytest.mark.parametrize(("spoil", "words", "line"), BAD)
def test_bad_images_are_refused_before_anything_is_trained(
    spoil: Callable[[], None], words: list[str], line: str, capsys: Out
) -> None:
    spoil()
    assert main([*RUN, *words]) == 2
    _, err = capsys.readouterr()
    assert line in err
    assert err.startswith("metarun: ")
    assert err.count("\n") == 1
    assert not list(Path().rglob("*.ckpt"))


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["dataset.ways=[7]"], "dataset.ways=7: digits (split seeded, seed 0) has 6 classes in its validation part"),
        (["dataset.train_ways=[17]"], "dataset.train_ways=17: digits (split seeded, seed 0) has 16 classes in its t"),
        (["dataset.supports=[180]"], "180 shots and 5 queries need 185 images of a class, but '"),
        (["dataset=mnist", "dataset.split=seeded", "paths.data=gone"], "The data folder gone does not exist"),
        (["dataset=omniglot", "dataset.split=vinyal"], "dataset.split=vinyal: not allowed, give vinyals | lake | seed"),
    ],
)
def test_datasets_of_metarun_likewise(words: list[str], line: str, capsys: Out) -> None:
    assert main(["+experiment=digits_protonet", "trainer.threads=1", *words]) == 2
    _, err = capsys.readouterr()
    assert line in err
    assert err.count("\n") == 1
    assert not list(Path().rglob("*.ckpt"))
