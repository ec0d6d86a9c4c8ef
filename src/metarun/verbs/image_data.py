"""`metarun data list | fetch | check` for datasets other than MovieLens, and for a folder of the user's own images."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from metarun.data.images import mnist, official, omniglot
from metarun.errors import MetarunError
from metarun.verbs.words import overrides, quoted

FILES = {"omniglot": omniglot, "mnist": mnist}
"""Those whose official files lie in the data folder, and the modules that know them."""
NAMES = (*FILES, "digits", "sinusoid")
INSTALL = 'pip install "metarun[images]"'


def rows(home: Path) -> list[tuple[str, str]]:
    """Return each dataset with what it is, whether it is in the data folder `home`, and how it is had."""
    characters = sum(omniglot.CHARACTERS.values())
    drawings = f"{characters:,} characters, {characters * omniglot.DRAWERS:,} drawings of {omniglot.SIDE} x "
    digits = f"{sum(mnist.COUNTS.values()):,} digits of {mnist.SIDE} x {mnist.SIDE} pixels"
    embedded = "here, in scikit-learn" if find_spec("sklearn") else f"needs scikit-learn; {INSTALL}"
    return [
        ("omniglot", f"{drawings}{omniglot.SIDE} pixels; {_place('omniglot', home)}"),
        ("mnist", f"{digits}; {_place('mnist', home)}"),
        ("digits", f"1,797 digits of 8 x 8 pixels; {embedded}"),
        ("sinusoid", "sine waves, generated; always here"),
    ]


def _place(name: str, home: Path) -> str:
    places = FILES[name].here(home)
    found = [place for place in places.values() if place is not None]
    if len(found) == len(places):
        return f"here: {_parents(found)}"
    lacking = f"{len(found)} of {len(places)} files are" if found else "not"
    return f"{lacking} here; metarun data fetch {name}"


def _parents(places: Iterable[Path]) -> str:
    return ", ".join(dict.fromkeys(str(place.parent) for place in places))


def fetch(name: str, folder: Path | None) -> list[Path]:
    """Return where the official files are, after downloading what is not there yet.

    Raises:
        MetarunError: nothing to fetch, no network, a wrong checksum, a folder that cannot be written.
    """
    if name == "sinusoid":
        raise MetarunError("sinusoid is generated: there is nothing to fetch")
    if name not in FILES:
        raise MetarunError(f"{name} come with scikit-learn: there is nothing to fetch but {INSTALL}")
    return list(FILES[name].fetch(folder).values())


def check(name: str, folder: Path | None) -> list[str]:
    """Read a dataset completely and return lines that say what is there; nothing is downloaded.

    Raises:
        MetarunError: it is not there, damaged or malformed.
    """
    if name == "sinusoid":
        from metarun.data.sinusoid import PROTOCOLS

        return ["sinusoid: generated, not read from files", f"dataset.protocol: {', '.join(PROTOCOLS)}"]
    places = _whole(name, folder) if name in FILES else {}
    from metarun import config
    from metarun.data import image_check

    data = _dataset(
        [_experiment(name == "mnist"), f"dataset={name}", *([f"paths.data={quoted(folder)}"] if folder else [])]
    )
    known = next(field.spec for field in config.schema(f"dataset/{name}") if field.name == "split")
    return [
        f"{name}: {_parents(places.values()) or 'in scikit-learn'}",
        *image_check.contents(data),
        *image_check.splits(data, [word.strip() for word in known.split("|")]),
        *[_sum(name, file, place) for file, place in places.items() if place.suffix in (".zip", ".gz")],
    ]


def _whole(name: str, folder: Path | None) -> dict[str, Path]:
    home = official.data_folder(folder)
    places = FILES[name].here(home)
    for file, place in places.items():
        if place is None:
            raise MetarunError(f"{name}: {file} is not in the data folder {home}: metarun data fetch {name}")
    return {file: place for file, place in places.items() if place is not None}


def _sum(name: str, file: str, place: Path) -> str:
    from metarun.data import archive

    actual, known = archive.md5(place), FILES[name].MD5[file]
    return f"MD5 of {place.name}: {actual}, " + (
        "as official" if actual == known else f"NOT the official {known}: packed again, or other files"
    )


def check_folder(path: str, words: Sequence[str]) -> Iterator[str]:
    """Read a folder as a run would, under the same options, and yield what there is to say.

    Raises:
        MetarunError: a word that is no option of the dataset, or what a run would raise, after what can be said.
    """
    from metarun.data import image_check

    given = overrides("image_folder", path, words, "dataset.ways=[5]")
    run = [_experiment("dataset.split=images" in given), "dataset=image_folder", *given]
    data = _dataset(run)
    yield f"{data.images.name}: {path}"
    yield from image_check.contents(data)
    yield from image_check.fitting(data)
    yield f"run it: {shlex.join(['metarun', *run])}"


def _experiment(known: bool) -> str:
    """Return the experiment for classes that are all known, or for those that training never saw."""
    return "+experiment=mnist_cnn" if known else "+experiment=digits_protonet"


def _dataset(words: Sequence[str]) -> Any:
    """Return the dataset that a run with these words has."""
    from metarun import build, config

    return build.dataset(config.compose(words))
