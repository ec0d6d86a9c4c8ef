"""MNIST from official and small idx files; scikit-learn's digits; the segments of a display."""

from __future__ import annotations

import gzip
import os
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

from metarun.data.images import digits, mnist
from metarun.data.images.segments import SEGMENTS
from metarun.errors import MetarunError

REAL = Path(os.environ.get("METARUN_DATA", "nowhere"))


def content():
    """Return file name -> bytes of 30 training and 20 test images."""
    rng = np.random.default_rng(0)
    found = {}
    for part, count in (("train", 30), ("t10k", 20)):
        pixels = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = (np.arange(count) * 7 % 10).astype(np.uint8)
        found[f"{part}-images-idx3-ubyte"] = struct.pack(">4I", 2051, count, 28, 28) + pixels.tobytes()
        found[f"{part}-labels-idx1-ubyte"] = struct.pack(">2I", 2049, count) + labels.tobytes()
    return found


def put(home, files, packed=True):
    home.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (home / (name + ".gz" * packed)).write_bytes(gzip.compress(data) if packed else data)
    return home


@pytest.fixture
def small(place, monkeypatch):
    """The data folder; as many images as the tests write, and nobody answers at the home."""
    monkeypatch.setattr(mnist, "COUNTS", {"train": 30, "t10k": 20})
    monkeypatch.setattr(mnist, "HOME", f"file://{place.folder}/home/")
    return place.folder


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("inside", ["mnist", "MNIST/raw", "mnist/MNIST/raw", ""])
def test_where_the_files_may_be(packed, inside, small):
    put(small / inside, content(), packed)
    found = mnist.read(small)
    assert (found.name, found.classes, found.pixels.shape) == ("mnist", list("0123456789"), (50, 1, 28, 28))
    assert found.official["train"].tolist() == list(range(30))
    assert found.official["test"].tolist() == list(range(30, 50))
    assert found.label.tolist() == [i * 7 % 10 for i in range(30)] + [i * 7 % 10 for i in range(20)]
    assert found.pixels[:30].tobytes() == content()["train-images-idx3-ubyte"][16:]
    assert found.pixels[30:].tobytes() == content()["t10k-images-idx3-ubyte"][16:]


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("train-images-idx3-ubyte", lambda d: d[:-1], "holds 23519 of 23520 bytes: delete it"),
        ("train-images-idx3-ubyte", lambda d: d + b"x", "holds 23521 of 23520 bytes: delete it"),
        ("t10k-labels-idx1-ubyte", lambda d: b"\0\0\x08\x03" + d[4:], "does not begin as an idx file of 20 bytes"),
        ("t10k-images-idx3-ubyte", lambda d: d[:7] + b"\x15" + d[8:], "begin as an idx file of 20 x 28 x 28 bytes"),
        ("t10k-labels-idx1-ubyte", lambda d: d[:-1] + b"\x0a", "holds the label 10, not 0 to 9 only"),
        ("train-labels-idx1-ubyte", lambda d: b"", "does not begin as an idx file of 30 bytes"),
    ],
)
def test_files_that_are_not_what_they_say(name, change, words, small):
    put(small / "mnist", {**content(), name: change(content()[name])})
    with pytest.raises(MetarunError, match=f"{name}.*{words}"):
        mnist.read(small)


def test_a_damaged_archive(small):
    path = put(small / "mnist", content()) / "train-images-idx3-ubyte.gz"
    whole = path.read_bytes()
    for damaged in (whole[:-100], b"no gzip", whole[:500] + bytes(50) + whole[550:]):
        path.write_bytes(damaged)
        with pytest.raises(MetarunError, match=r"train-images-idx3-ubyte\.gz is damaged or cut off \("):
            mnist.read(small)


def test_missing_files(small, official, monkeypatch):
    with pytest.raises(MetarunError) as error:
        mnist.read(small)
    url = f"{mnist.HOME}train-images-idx3-ubyte.gz"
    assert str(error.value).startswith(f"MNIST: train-images-idx3-ubyte.gz is not there, and {url} cannot be")
    assert f"To place it by hand: download {url} and put it into {small}/mnist, or" in str(error.value)
    put(small / "home", content())
    monkeypatch.setattr(mnist, "MD5", {name: official.md5(small / "home" / f"{name}.gz") for name in mnist.MD5})
    assert len(mnist.read(small).pixels) == 50


@pytest.mark.skipif(not (REAL / "mnist").is_dir(), reason="needs the official files in METARUN_DATA")
def test_the_official_files():
    found = mnist.read(REAL)
    assert [len(found.official[part]) for part in ("train", "test")] == [60_000, 10_000]
    assert np.bincount(found.label[found.official["test"]]).tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009
    ]  # fmt: skip
    assert found.label[:5].tolist() == [5, 0, 4, 1, 9]
    assert abs(found.pixels[:60_000].mean() / 255 - 0.1307) < 1e-4  # the mean that everybody normalises with


def test_digits():
    found = digits.read()
    assert (found.name, found.pixels.shape, found.pixels.dtype) == ("digits", (1797, 1, 8, 8), np.uint8)
    assert (found.pixels.min(), found.pixels.max()) == (0, 255)
    assert len(np.unique(found.pixels)) == 17
    assert np.bincount(found.label).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    from sklearn.datasets import load_digits

    assert np.abs(found.pixels[:, 0] / 255 * 16 - load_digits().images).max() < 0.05
    assert found.official == {}
    assert np.array_equal(found.descriptions, SEGMENTS)


def test_digits_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(MetarunError, match=r'pip install "metarun\[images\]"'):
        digits.read()


def test_segments():
    # a glance at the display: lit segments of each digit, and two digits that differ in one segment
    assert SEGMENTS.sum(1).tolist() == [6, 2, 5, 5, 4, 5, 6, 3, 7, 6]
    assert len({tuple(row) for row in SEGMENTS}) == 10
    assert np.flatnonzero(SEGMENTS[8] != SEGMENTS[0]).tolist() == [6]  # g, the middle
    assert np.flatnonzero(SEGMENTS[7] != SEGMENTS[1]).tolist() == [0]  # a, the top
    assert np.flatnonzero(SEGMENTS[8] != SEGMENTS[9]).tolist() == [4]  # e, lower left
    assert np.flatnonzero(SEGMENTS[8] != SEGMENTS[6]).tolist() == [1]  # b, upper right
