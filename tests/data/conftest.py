"""Small MovieLens files in the official layouts, written by the tests themselves."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from metarun.data.versions import VERSIONS

# user, movie, rating, time: as in real files, not in time order, and not every movie is rated (20 is not)
ROWS = [
    ("2", "10", "4", "978300300"),
    ("2", "30", "3", "978300100"),
    ("1", "10", "5", "978300200"),
    ("1", "31", "1", "978300200"),
    ("7", "30", "2", "978300400"),
]
ORDER = [2, 3, 1, 0, 4]  # ROWS by user, then time, then file order
MOVIES = [
    ("10", "Amélie, the (2001)", "Comedy|Romance"),
    ("20", "Nobody's Film (1987)", "Drama"),
    ("30", "GoldenEye (1995)", "Action|Thriller"),
    ("31", "Babylon 5", "(no genres listed)"),
]
FLAGS = "unknown Action Adventure Animation Children's Comedy Crime Documentary Drama Fantasy Film-Noir Horror Musical "
FLAGS += "Mystery Romance Sci-Fi Thriller War Western"
USERS = [("1", "F", "1", "10", "48067"), ("2", "M", "56", "16", "70072"), ("7", "M", "25", "15", "55117")]
JOBS = {"10": "student", "16": "writer", "15": "scientist"}
TAGS = [
    ("1", "10", "funny", "1"),
    ("2", "10", "Funny ", "2"),
    ("2", "30", 'a "quoted", tag', "3"),
    ("7", "30", "spy", "4"),
]


def _csv(header: str, rows: list[tuple[str, ...]]) -> str:
    quoted = [['"' + f.replace('"', '""') + '"' if "," in f or '"' in f else f for f in row] for row in rows]
    return "\n".join([header, *(",".join(row) for row in quoted)]) + "\n"


def _lines(separator: str, rows: list[tuple[str, ...]]) -> str:
    return "".join(separator.join(row) + "\n" for row in rows)


def official_files(version: str, rows: list[tuple[str, ...]] = ROWS) -> dict[str, bytes]:
    """Return file name -> content of a version in its official layout."""
    layout = VERSIONS[version].layout
    if version == "100k":
        flags = [["1" if g in genres.split("|") else "0" for g in FLAGS.split()] for _, _, genres in MOVIES]
        items = [(i, t, "01-Jan-1995", "", "http://x", *f) for (i, t, _), f in zip(MOVIES, flags, strict=True)]
        people = [(u, age, sex, JOBS[job], code) for u, sex, age, job, code in USERS]
        texts = {"u.data": _lines("\t", rows), "u.item": _lines("|", items), "u.user": _lines("|", people)}
    elif layout.separator == "::":
        texts = {"ratings.dat": _lines("::", rows), "movies.dat": _lines("::", MOVIES)}
        texts |= {"users.dat": _lines("::", USERS)} if layout.users else {"tags.dat": _lines("::", TAGS)}
    else:
        texts = {"ratings.csv": _csv("userId,movieId,rating,timestamp", rows)}
        texts |= {"movies.csv": _csv("movieId,title,genres", MOVIES)}
        texts |= {"tags.csv": _csv("userId,movieId,tag,timestamp", TAGS)}
    return {name: text.encode(layout.encoding) for name, text in texts.items()}


@dataclass
class Place:
    """A data folder under construction."""

    folder: Path

    def unpacked(self, version: str, files: dict[str, bytes] | None = None) -> Path:
        """Write the files as the official folder and return it."""
        home = self.folder / VERSIONS[version].folders[0]
        home.mkdir(parents=True, exist_ok=True)
        for name, content in (files or official_files(version)).items():
            (home / name).write_bytes(content)
        return home

    def zipped(self, version: str, files: dict[str, bytes] | None = None, inside: Path | None = None) -> Path:
        """Write the files as the official zip, into the data folder or into `inside`, and return it."""
        path = (inside or self.folder) / VERSIONS[version].archive
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in (files or official_files(version)).items():
                archive.writestr(f"{VERSIONS[version].folders[0]}/{name}", content)
        return path


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """An empty data folder; no test sees the user's own folders or a proxy."""
    monkeypatch.delenv("METARUN_DATA", raising=False)
    monkeypatch.setenv("METARUN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    (tmp_path / "data").mkdir()
    return Place(tmp_path / "data")


@pytest.fixture
def official() -> SimpleNamespace:
    """What the written files hold, and the function that makes them."""
    return SimpleNamespace(files=official_files, rows=ROWS, order=ORDER, movies=MOVIES, md5=_md5)


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
