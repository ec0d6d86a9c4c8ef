"""`metarun data` for images: list, fetch and check of the datasets, `check FOLDER --as images`."""

from __future__ import annotations

import gzip
import hashlib
import shlex
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metarun import config, options
from metarun.cli import main
from metarun.data.images import mnist
from metarun.verbs.placed_data import PLACED

Out = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("METARUN_CACHE", str(tmp_path / "cache"))
    for name in ("METARUN_CONF", "METARUN_TRUST", "METARUN_DATA", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)


def idx(folder: Path, counts: dict[str, int]) -> None:
    """Write idx files of blank digits as the official ones are packed."""
    folder.mkdir(parents=True)
    for part, count in counts.items():
        images = struct.pack(">4B3I", 0, 0, 8, 3, count, 28, 28) + bytes(count * 28 * 28)
        labels = struct.pack(">4BI", 0, 0, 8, 1, count) + bytes(i % 10 for i in range(count))
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images, mtime=0))
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels, mtime=0))


@pytest.fixture
def few_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with fewer digits than there are, of which one file has the known checksum."""
    counts = {"train": 30, "t10k": 20}
    idx(tmp_path / "data" / "mnist", counts)
    monkeypatch.setattr(mnist, "COUNTS", counts)
    file = "t10k-labels-idx1-ubyte"
    content = (tmp_path / "data" / "mnist" / f"{file}.gz").read_bytes()
    known = hashlib.md5(content, usedforsecurity=False).hexdigest()
    monkeypatch.setattr(mnist, "MD5", {**mnist.MD5, file: known})
    return tmp_path / "data"


def folder(name: str, counts: list[int], side: int = 8, colour: bool = False) -> None:
    """Write a class of noise for each count, "c0", "c1" and so on."""
    random = np.random.default_rng(0)
    for number, count in enumerate(counts):
        place = Path(name) / f"c{number}"
        place.mkdir(parents=True)
        for image in range(count):
            pixels = random.integers(0, 256, (side, side, 3) if colour else (side, side), dtype=np.uint8)
            Image.fromarray(pixels).save(place / f"{image}.png")


def test_list_says_what_is_here_and_how_to_get_the_rest(capsys: Out, few_digits: Path) -> None:
    assert main(["data", "list", "--folder", str(few_digits)]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
    assert "1,623 characters, 32,460 drawings" in lines["omniglot"]
    assert lines["omniglot"].endswith("not here; metarun data fetch omniglot")
    assert lines["mnist"].endswith(f"here: {few_digits}/mnist")
    assert "1,797 digits" in lines["digits"]
    assert "scikit-learn" in lines["digits"]
    assert "generated" in lines["sinusoid"]
    (few_digits / "mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    assert main(["data", "list", "--folder", str(few_digits)]) == 0
    assert "3 of 4 files are here; metarun data fetch mnist" in capsys.readouterr().out


def test_fetch_takes_what_is_missing_from_the_official_home(
    capsys: Out, few_digits: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = few_digits / "mnist"
    (tmp_path / "server").mkdir()
    name = "t10k-labels-idx1-ubyte.gz"
    (home / name).rename(tmp_path / "server" / name)
    monkeypatch.setattr(mnist, "HOME", f"file://{tmp_path}/server/")
    assert main(["data", "fetch", "mnist", "--folder", str(few_digits)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert sorted(said) == sorted(str(path) for path in home.glob("*.gz"))
    assert len(said) == 4


def test_check_of_official_files(capsys: Out, few_digits: Path) -> None:
    assert main(["data", "check", "mnist", "--folder", str(few_digits)]) == 0
    out = capsys.readouterr().out
    for said in (
        f"mnist: {few_digits}/mnist",
        "images: 50 of 28 x 28 pixels, grey",
        "classes: 10, 5 images each",
        "dataset.split=images: 30 images train, 20 are held out (the official test images)",
        "dataset.split=seeded (seed 0): 4 train, 3 validation, 3 test classes",
        "sha256 of the images: ",
    ):
        assert said in out
    sums = [line for line in out.splitlines() if line.startswith("MD5 of ")]
    assert [line.endswith(", as official") for line in sums] == [False, False, False, True]
    assert sum("NOT the official" in line for line in sums) == 3


def test_check_of_digits(capsys: Out) -> None:
    assert main(["data", "check", "digits"]) == 0
    out = capsys.readouterr().out
    assert "images: 1,797 of 8 x 8 pixels, grey" in out
    assert "classes: 10, 174 (8) to 183 images each" in out
    assert "4 train, 3 validation, 3 test classes, each at 2 angles, so 2 times as many" in out


WRONG = [
    (["check", "omnigot"], "Did you mean 'omniglot'?"),
    (
        ["fetch", "mnits"],
        "choose latest-small, 100k, 1m, 10m, 20m, 25m, 32m, sample, omniglot, mnist, digits, sinusoid.",
    ),
    (["fetch", "1n"], "There is no MovieLens version '1n' and no other dataset of that name to fetch or check"),
    (["fetch", "digits"], "digits come with scikit-learn"),
    (["fetch", "sinusoid"], "sinusoid is generated: there is nothing to fetch"),
    (["check", "mnist", "--folder", "."], "is not in the data folder .: metarun data fetch mnist"),
    (["check", "omniglot", "--folder", "gone"], "The data folder gone does not exist"),
    (["check", "omniglot", "split=lake"], "split=lake: metarun data check omniglot takes no option"),
    (["check", "birds"], "for a folder of your own: metarun data check birds --as images"),
    (
        ["check", "birds", "--as", "imges"],
        "there is only ratings, images, table, texts, clips, speakers and inputs. Did you mean 'images'?",
    ),
    (["check", "birds", "--as", "images", "wyas=[3]"], "wyas=[3]: is no option of the data, such as dataset.ways=[5]."),
    (["check", "birds", "--as", "images", "ways=[1]"], "dataset.ways=[1]: wrong type, give nonempty list of int >= 2"),
    (["check", "gone", "--as", "images"], "dataset.path=gone does not exist"),
    (["template", "images"], "there is only ratings, table, texts, clips, speakers and inputs."),
]


@pytest.mark.parametrize(("words", "line"), WRONG, ids=[" ".join(words) for words, _ in WRONG])
def test_wrong_words(words: list[str], line: str, capsys: Out) -> None:
    Path("birds").mkdir()
    assert main(["data", *words]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert line in err
    assert err.count("\n") == 1


def test_what_a_run_would_see_in_a_folder(capsys: Out) -> None:
    folder("my birds", [6, 6, 6, 6, 6, 6, 6, 5, 6, 6], colour=True)
    table = "".join(f"c{number},1,{number}\n" for number in range(10))
    Path("my birds/descriptions.csv").write_text(f"class,wings,size\n{table}")
    options = ["ways=[2]", "supports=[1,3]", "queries=2", "dataset.shares=[.4,.3,.3]", "size=10"]
    assert main(["data", "check", "my birds", "--as", "images", *options]) == 0
    out = capsys.readouterr().out
    for said in (
        "images: 59 of 10 x 10 pixels, colour",
        "classes: 10, 5 (c7) to 6 images each",
        "descriptions: 2 attributes of every class",
        "dataset.split=seeded (seed 0): 4 train, 3 validation, 3 test classes",
        "judged episodes fit: 2 ways x (1 or 3 shots + 2 queries)",
    ):
        assert said in out
    parts = [line for line in out.splitlines() if line.startswith("  ")]
    assert [line.split(":")[0].strip() for line in parts] == ["train", "validation", "test"]
    assert sum("5 images in the smallest (c7)" in line for line in parts) == 1
    (run,) = [line for line in out.splitlines() if line.startswith("run it: metarun ")]
    words = shlex.split(run.removeprefix("run it: metarun "))
    assert words[:2] == ["+experiment=digits_protonet", "dataset=image_folder"]
    found = config.compose(words).dataset
    assert (found.path, found.ways, found.supports, found.size) == ("my birds", [2], [1, 3], 10)


def test_the_command_where_all_classes_are_known(capsys: Out) -> None:
    folder("birds", [20, 20])
    assert main(["data", "check", "birds", "--as", "images", "split=images"]) == 0
    out = capsys.readouterr().out
    assert "images train" in out
    (run,) = [line for line in out.splitlines() if line.startswith("run it: metarun ")]
    words = shlex.split(run.removeprefix("run it: metarun "))
    assert words[0] == "+experiment=mnist_cnn"
    assert config.compose(words).dataset.split == "images"


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (
            ["ways=[4]"],
            "dataset.ways=4: image_folder/birds (split seeded, seed 0) has 3 classes in its validation part",
        ),
        (["ways=[2]", "supports=[5]"], "5 shots and 2 queries need 7 images of a class"),
        (["ways=[2]", "train_ways=[5]"], "dataset.train_ways=5: image_folder/birds"),
    ],
)
def test_the_error_of_a_run_comes_after_what_is_seen(options: list[str], line: str, capsys: Out) -> None:
    folder("birds", [6] * 10)
    given = ["queries=2", "supports=[1]", "shares=[.4,.3,.3]", *options]
    assert main(["data", "check", "birds", "--as", "images", *given]) == 2
    out, err = capsys.readouterr()
    assert "images: 60 of 8 x 8 pixels, grey" in out
    assert "run it" not in out
    assert line in err
    assert err.count("\n") == 1


def test_the_list_says_where_files_that_are_placed_by_hand_are_from(tmp_path: Path, capsys: Out) -> None:
    (tmp_path / "electricity.csv").touch()
    assert main(["data", "list", "--folder", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert f"here: {tmp_path / 'electricity.csv'}" in out
    for placed in PLACED:
        assert options.header(f"dataset/{placed.name}").about
        assert placed.home in out or placed.name == "elec2"
