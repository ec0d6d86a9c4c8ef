"""Omniglot: 1,623 handwritten characters of 50 alphabets, each by 20 people (Lake et al., Science 350, 2015)."""

from __future__ import annotations

import io
import os
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from metarun.data import archive
from metarun.data.images import cache, official
from metarun.data.images.decode import decode, resized
from metarun.data.images.images import Images, assemble
from metarun.data.images.official import Official
from metarun.errors import MetarunError

HOME = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python/"
MD5 = {
    "images_background": "68d2efa1b9178cc56df9314c21c6e718",
    "images_evaluation": "6b91aef0f799c5bb55b94e3f2daec811",
}
CHARACTERS = {"images_background": 964, "images_evaluation": 659}
DRAWERS, SIDE = 20, 105
FOLDERS = ("omniglot", "omniglot-py")  # the second is torchvision's
DRAWING = re.compile(r"(?:.*/)?([^/]+/character\d\d)/(\d{4}_\d\d\.png)")


def read(folder: Path | None = None, size: int = 28, cache_folder: Path | None = None) -> Images:
    """Return all drawings, scaled to `size` x `size` with grey edges, ink 255; classes are "Korean/character17".

    `folder` (default: METARUN_DATA) holds images_background.zip and images_evaluation.zip, or the folders that are in
    them, in omniglot/, omniglot-py/ or directly; what is missing is downloaded. The result is kept in the cache.

    Raises:
        MetarunError: not found and not to be had, not whole, or damaged; with the name of the file.
    """
    if size < 1:
        raise MetarunError(f"dataset.size={size} must be 1 or more")
    places = fetch(folder)
    files = [file for place in places.values() for file in _files(place.resolve())]
    return cache.cached(
        f"omniglot-{size}", f"{size} {cache.identity(files)}", lambda: _build(places, size), cache_folder
    )


def here(home: Path) -> dict[str, Path | None]:
    """Return where in the data folder each part is, a folder or a zip, and None for what is not there."""
    return {part: _find(part, home) for part in MD5}


def fetch(folder: Path | None = None) -> dict[str, Path]:
    """Return where the parts are, after downloading what is not there yet.

    Raises:
        MetarunError: no network, a wrong checksum, a folder that cannot be written.
    """
    home = official.data_folder(folder)
    return {part: place or _fetch(part, home) for part, place in here(home).items()}


def _find(part: str, home: Path) -> Path | None:
    """Return the folder or zip of a part of the data, or None."""
    for place in (*(home / name for name in FOLDERS), home):
        if (place / part).is_dir():
            return place / part
        if (place / f"{part}.zip").is_file():
            return place / f"{part}.zip"
    return None


def _fetch(part: str, home: Path) -> Path:
    return official.fetch(Official(FOLDERS[0], f"{HOME}{part}.zip", MD5[part]), "Omniglot", home)


def _files(place: str | Path | os.DirEntry[str]) -> Iterator[Path | os.DirEntry[str]]:
    """Yield all files of a folder, or the zip; os.scandir, because pathlib takes three times as long for 32,460."""
    if isinstance(place, Path) and place.is_file():
        yield place
        return
    with os.scandir(place) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _files(entry)
            else:
                yield entry


def _build(places: dict[str, Path], size: int) -> Images:
    found: dict[tuple[str, str], tuple[str, str]] = {}  # (class, file) -> (part, member)
    for part, place in places.items():
        members = _members(place)
        _refuse_incomplete(place, [name for name, _ in members], CHARACTERS[part])
        found.update({drawing: (part, member) for drawing, member in members.items()})
    order = sorted(found)
    row = {drawing: i for i, drawing in enumerate(order)}
    pixels = np.empty((len(order), 1, size, size), np.uint8)
    for part, place in places.items():
        with _opened(place) as content:
            for drawing in order:
                if found[drawing][0] == part:
                    where, data = content(found[drawing][1])
                    pixels[row[drawing]] = _drawing(data, where, size)
    classes = sorted({name for name, _ in order})
    index = {name: i for i, name in enumerate(classes)}
    return assemble("omniglot", pixels, np.array([index[name] for name, _ in order], np.int64), classes)


def _drawing(data: bytes, where: str, size: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return (1, size, size) of a file of black ink on white paper, ink bright."""
    paper = decode(io.BytesIO(data), where, 1)
    if paper.shape[1:] != (SIDE, SIDE):
        raise MetarunError(
            f"{where} is {paper.shape[2]} x {paper.shape[1]}, but official drawings are {SIDE} x {SIDE}: "
            "place the official files, they are scaled by dataset.size."
        )
    return resized(255 - paper, size)


def _members(place: Path) -> dict[tuple[str, str], str]:
    """Return (class, file) -> path inside `place` of all drawings."""
    if place.is_dir():
        names = [path.relative_to(place).as_posix() for path in place.glob("*/*/*.png")]
    else:
        archive.verify(archive.Source(place, ""))
        try:
            with zipfile.ZipFile(place) as zipped:
                names = zipped.namelist()
        except (zipfile.BadZipFile, EOFError, OSError) as error:
            raise MetarunError(
                f"{place} is not a whole zip archive ({error}): delete it and fetch it again."
            ) from error
    matches = {name: DRAWING.fullmatch(name) for name in names if not name.startswith("__MACOSX/")}
    return {(match[1], match[2]): name for name, match in matches.items() if match}


def _refuse_incomplete(place: Path, classes: list[str], characters: int) -> None:
    counts = Counter(classes)
    if len(counts) != characters:
        raise MetarunError(f"{place} holds {len(counts)} of {characters} characters: unpack or fetch it again.")
    for name, count in sorted(counts.items()):
        if count != DRAWERS:
            raise MetarunError(f"{place} holds {count} of {DRAWERS} drawings of {name}: unpack or fetch it again.")


@contextmanager
def _opened(place: Path) -> Iterator[Callable[[str], tuple[str, bytes]]]:
    """Offer a function from a path inside `place` to the file's name as errors print it and its bytes."""
    if place.is_dir():
        yield lambda name: (str(place / name), (place / name).read_bytes())
        return
    with zipfile.ZipFile(place) as zipped:

        def content(name: str) -> tuple[str, bytes]:
            try:
                return f"{place}:{name}", zipped.read(name)
            except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
                raise MetarunError(
                    f"{place}:{name} is damaged ({error}): delete {place.name} and fetch it again."
                ) from error

        yield content
