"""Omniglot: the official zips and small ones in their layout; their damage; the cache."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metarun.data.images import omniglot
from metarun.errors import MetarunError

REAL = Path(os.environ.get("METARUN_DATA", "nowhere"))
PARTS = {
    "images_background": ["Korean/character01", "Korean/character02"],
    "images_evaluation": ["Angelic/character01"],
}


def drawing(seed, side=105):
    """Return black strokes on white paper, 1 bit, as PNG."""
    ink = np.random.default_rng(seed).random((side, side)) < 0.1
    file = io.BytesIO()
    Image.fromarray(~ink).save(file, "PNG")
    return file.getvalue(), ink


def content(part, side=105):
    """Return path -> bytes of a part with two drawers; the last is written first, for order must not matter."""
    names = [(name, drawer) for name in PARTS[part] for drawer in (2, 1)]
    return {
        f"{part}/{name}/{hash_of(name):04d}_{drawer:02d}.png": drawing(hash_of(name) + drawer, side)[0]
        for name, drawer in reversed(names)
    }


def hash_of(name):
    return sum(map(ord, name)) * 10 % 10_000


def zipped(home, part, files=None):
    path = home / f"{part}.zip"
    home.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in (files or content(part)).items():
            archive.writestr(name, data)
    return path


def unpacked(home, part):
    for name, data in content(part).items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_bytes(data)


@pytest.fixture
def small(place, monkeypatch):
    """The data folder; characters and drawers are as many as the tests write, and nobody answers at the home."""
    monkeypatch.setattr(omniglot, "CHARACTERS", {part: len(names) for part, names in PARTS.items()})
    monkeypatch.setattr(omniglot, "DRAWERS", 2)
    monkeypatch.setattr(omniglot, "HOME", f"file://{place.folder}/home/")
    return place.folder


@pytest.mark.parametrize("inside", ["omniglot", "omniglot-py", ""])
@pytest.mark.parametrize("put", [zipped, unpacked])
def test_where_the_files_may_be(put, inside, small):
    for part in PARTS:
        put(small / inside, part)
    (small / inside / "._junk").write_text("x")
    found = omniglot.read(small)
    assert found.name == "omniglot"
    assert found.classes == ["Angelic/character01", "Korean/character01", "Korean/character02"]
    assert found.label.tolist() == [0, 0, 1, 1, 2, 2]
    assert (found.pixels.shape, found.pixels.dtype) == ((6, 1, 28, 28), np.uint8)
    full = omniglot.read(small, size=105).pixels[:, 0]
    for row, (name, drawer) in enumerate((name, drawer) for name in found.classes for drawer in (1, 2)):
        ink = drawing(hash_of(name) + drawer)[1]
        assert np.array_equal(full[row], ink * np.uint8(255))
        assert abs(found.pixels[row].mean() / 255 - ink.mean()) < 0.02


def test_the_cache_is_used_until_a_file_changes(small, monkeypatch):
    for part in PARTS:
        unpacked(small / "omniglot", part)
    first = omniglot.read(small)
    monkeypatch.setattr(omniglot, "_build", None)
    again = omniglot.read(small)
    assert again.checksum == first.checksum
    assert np.array_equal(again.pixels, first.pixels)
    monkeypatch.undo()
    monkeypatch.setattr(omniglot, "_build", lambda *given: pytest.fail("decoded anew"))
    name = next(iter(content("images_background")))
    (small / "omniglot" / name).write_bytes(drawing(77)[0])
    with pytest.raises(pytest.fail.Exception, match="decoded anew"):
        omniglot.read(small)


def refused(home, **options):
    with pytest.raises(MetarunError) as error:
        omniglot.read(home, **options)
    return str(error.value)


def test_missing_files(small):
    zipped(small / "omniglot", "images_background")
    words = refused(small)
    home = f"{omniglot.HOME}images_evaluation.zip"
    assert words.startswith(f"Omniglot: images_evaluation.zip is not there, and {home} cannot be downloaded (")
    assert words.endswith(
        f"To place it by hand: download {home} and put it into {small}/omniglot, "
        "or set METARUN_DATA to the folder that has omniglot/images_evaluation.zip."
    )
    assert f"The data folder {small}/none does not exist: create it, or change paths.data." == refused(small / "none")


def test_missing_files_are_downloaded_and_verified(small, official, monkeypatch):
    md5 = {part: official.md5(zipped(small / "home", part)) for part in PARTS}
    monkeypatch.setattr(omniglot, "MD5", md5)
    assert len(omniglot.read(small).pixels) == 6
    assert (small / "omniglot" / "images_background.zip.md5").is_file()
    zipped(small / "omniglot", "images_background", {**content("images_background"), "more": b"x"})
    assert "images_background.zip has the wrong checksum: MD5" in refused(small)


def test_official_addresses():
    assert omniglot.HOME == "https://raw.githubusercontent.com/brendenlake/omniglot/master/python/"


def test_incomplete_and_foreign_files(small):
    zipped(small, "images_evaluation")
    files = content("images_background")
    path = zipped(small, "images_background", dict(list(files.items())[2:]))
    assert refused(small) == f"{path} holds 1 of 2 characters: unpack or fetch it again."
    zipped(small, "images_background", dict(list(files.items())[1:]))
    assert "holds 1 of 2 drawings of Korean/character02: unpack or fetch it again." in refused(small)
    zipped(small, "images_background", content("images_background", 28))
    assert "is 28 x 28, but official drawings are 105 x 105: place the official files" in refused(small)
    assert refused(small, size=0) == "dataset.size=0 must be 1 or more"


def test_damaged_files(small):
    zipped(small, "images_evaluation")
    files = content("images_background")
    first = next(iter(files))
    path = zipped(small, "images_background", {**files, first: files[first][:150]})
    assert f"{path}:{first} is not an image that can be read, or damaged (" in refused(small)
    whole = zipped(small, "images_background").read_bytes()
    path.write_bytes(whole.replace(files[first][60:90], bytes(30)))
    assert f"{path}:{first} is damaged (Bad CRC-32" in refused(small)
    path.write_bytes(whole[:-200])
    assert f"{path} is not a whole zip archive (" in refused(small)


official_files = pytest.mark.skipif(not (REAL / "omniglot").is_dir(), reason="needs the official zips in METARUN_DATA")


@official_files
@pytest.mark.parametrize(
    "parts",
    [["images_evaluation"], pytest.param(["images_background", "images_evaluation"], marks=pytest.mark.nightly)],
)
def test_the_official_files(parts, tmp_path, monkeypatch):
    monkeypatch.setattr(omniglot, "MD5", {part: omniglot.MD5[part] for part in parts})
    characters = sum(omniglot.CHARACTERS[part] for part in parts)
    found = omniglot.read(REAL, cache_folder=tmp_path)
    assert found.pixels.shape == (characters * 20, 1, 28, 28)
    assert np.bincount(found.label).tolist() == [20] * characters
    assert {"Angelic/character01", "ULOG/character26"} < set(found.classes)
    assert 15 < found.pixels.mean() < 30  # ink is bright and rare
    assert found.pixels.max(axis=(1, 2, 3)).min() > 100
    monkeypatch.setattr(omniglot, "_build", None)
    assert omniglot.read(REAL, cache_folder=tmp_path).checksum == found.checksum
