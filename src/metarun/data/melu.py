"""MeLU's partition of MovieLens 1M: which users and items are new, and what was known about the movies.

Lee et al., "MeLU: meta-learned user preference estimator for cold-start recommendation", KDD 2019. The users are those
of the authors' files user_cold_state.json and user_and_item_cold_state.json; what is drawn at random there (ten query
ratings of each task) is drawn by a seeded hash here.
"""

from __future__ import annotations

import base64
import re
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metarun.data.features import year_of
from metarun.data.ratings import Ratings
from metarun.errors import MetarunError

SIDE_ZIP, SIDE_FILE = "melu_side_info.zip", "movies_extrainfos.dat"
SIDE_FIELDS = 11  # id, title, year, rate, release, genres, directors, writers, actors, plot, poster
MISSING = {"", "N/A"}

ROWS = (13, 100)  # ratings of a task
LAST_OLD_YEAR = 1997
SAME = {860: 811, 1795: 1741}  # movies that stand twice in the catalogue

# One bit for each of the users 1..6040, highest bit first; 1: one of the 1,208 new users.
COLD_USERS = (
    "FRRAaRLARgAAQxAEiwRCE1BE4QEHJAKAQAJABBEBFAhABwiQEEAKKGAEJAAAEkGAAJQA8ETAAAIAIAkwAIgRAYGIIEYxgCrIAIEAFIQJEBoJQAkQ"
    "DAABghEQACQaAhAKASCAAFCAEBCCQAQkGWQEAAQAEwgRAogCQRQagCMgiOIMIAAgQEQAaC4AAAEKBJBqAAAygjAGIoAAJYAICiUBQEAoCAKAoAkS"
    "AEwEJxECKAEEwBiBEiAMEQkgAKAIBwxIgIAQQBJBAEAAAEBxAAAApEABIAABUCEgE0FIQIAJEBAeaAIgABAAQQRKgAkAVhoACghUAYAJJBFlKCgC"
    "AfBCAgJCQOAGQgBKgNRHgAAQQACIACI0oBAxBkBBAI8DDBKRAgQIAACAAAiBwAIAIQcUQECEgGgEgAAAIMCqWKABmLCSUAEIBIAwCgiFEBQQTFAA"
    "AgAAgCAEBGAJQAJgcUDkSAASAAAgAIgQMMAIgJokABrDUIAAAKEIBgrFoJAIAAMEIZwEIBQkTSoaBEQAIoAAAIAICUIRAAEFHykxQECgICRwALFp"
    "IABIQCAAgQIAgBAhACkYSgBDQATACARKCEUEf01ACgABCAQwCA5GQwMACAAgyUgMCJEUJkCBQkAQBKgIQECHAQgAIMBASBeAADCQhIKUxCARAYAC"
    "ABGJEFCEAjAhgKBgRkCCoFBEAJAAAhAYEpIAECIIQogAAICQACAGAHEQo2AEIFgQAEAlAgYAgCAIEACAAAgACAAWQAAYAUIZIBESACAIQACDAkCA"
    "gYAAARk06SBEAkBUgKAgaAEAASUAAYgAhBIABLYQARgjSBAgFgNaAIAL3BTBIJEAACASIBQAMIAhDDBkLiPAEAjGAAhGUYAAAAwEsUQJCEYkkAAI"
    "DAAVgKAIdEiIBggADAggAIqCgCQwpAGwBPQEQAEAARIBEJIAUQEFEKgmCBJwYCAJIEUSEwMEwAQAAgkS1AhDABQiIARCAgAoCAEAAgFEggAGQmg="
)


def check(ratings: Ratings) -> None:
    """Raise MetarunError for anything but the whole of MovieLens 1M."""
    if ratings.name != "movielens/1m":
        raise MetarunError(
            f"dataset.split=melu is a partition of movielens/1m, not of {ratings.name}: use dataset.version=1m with "
            "dataset.users=null, dataset.positive=null and dataset.tasks=users, or dataset.split=cells"
        )


def cold(ratings: Ratings) -> NDArray[np.bool_]:
    """Return which users (N,) are new."""
    check(ratings)
    bits = np.unpackbits(np.frombuffer(base64.b64decode(COLD_USERS), np.uint8)).astype(bool)
    found: NDArray[np.bool_] = bits[ratings.user_ids - 1]
    return found


def new(ratings: Ratings) -> NDArray[np.bool_]:
    """Return which items (M,) were released after LAST_OLD_YEAR."""
    return np.array([(year_of(title) or 0) > LAST_OLD_YEAR for title in ratings.titles])


def merged(ratings: Ratings) -> Ratings:
    """Return the ratings with the movies of SAME under one id, as MeLU has them."""
    check(ratings)
    item = np.array(ratings.item)
    for old, kept in SAME.items():
        at, to = np.searchsorted(ratings.item_ids, (old, kept))
        item[item == at] = to
    return replace(ratings, item=item)


def side_information(ratings: Ratings, folder: Path) -> dict[str, list[list[str]]]:
    """Return plot, people (directors and actors), rate and imdb_genres of every item, empty where nothing is known.

    Raises:
        MetarunError: not MovieLens 1M, no such file, or a line that is not as MeLU wrote it.
    """
    if not ratings.name.startswith("movielens/1m"):
        raise MetarunError(
            f"dataset.content: plot, people, rate and imdb_genres are known of movielens/1m, not of {ratings.name}: "
            "use dataset.version=1m, or choose from genres, year, tags, title"
        )
    found: dict[str, list[list[str]]] = {
        name: [[] for _ in ratings.titles] for name in ("plot", "people", "rate", "imdb_genres")
    }
    place = {int(key): i for i, key in enumerate(ratings.item_ids)}
    where, text = _side_text(folder)
    for number, line in enumerate(text.rstrip("\n").split("\n"), start=1):
        fields = line.split("::")
        if len(fields) != SIDE_FIELDS or not fields[0].isdecimal():
            raise MetarunError(f"{where} line {number}: it has {len(fields)} fields instead of {SIDE_FIELDS}.")
        item = place.get(int(fields[0]))
        if item is None:
            continue
        directors = [re.sub(r"\([^()]*\)", "", name) for name in fields[6].split(", ")]
        values = {
            "plot": [fields[9]],
            "people": [f"director {name.strip()}" for name in directors if name.strip() not in MISSING]
            + [f"actor {name.strip()}" for name in fields[8].split(", ") if name.strip() not in MISSING],
            "rate": [fields[3]],
            "imdb_genres": fields[5].split(", "),
        }
        for name, words in values.items():
            found[name][item] = [word for word in words if word not in MISSING]
    return found


def _side_text(folder: Path) -> tuple[str, str]:
    """Return where the side information is, and its text."""
    for place in (folder / "ml-1m" / SIDE_ZIP, folder / SIDE_ZIP):
        if place.is_file():
            try:
                with zipfile.ZipFile(place) as archive:
                    inside = next(name for name in archive.namelist() if name.endswith(SIDE_FILE))
                    return f"{SIDE_FILE} in {place}", archive.read(inside).decode("utf-8")
            except (zipfile.BadZipFile, StopIteration, UnicodeDecodeError) as error:
                raise MetarunError(f"{place} cannot be read ({error or 'no ' + SIDE_FILE}): fetch it again.") from error
    for place in (folder / "ml-1m" / "movielens" / "ml-1m" / SIDE_FILE, folder / "ml-1m" / SIDE_FILE):
        if place.is_file():
            return str(place), place.read_text("utf-8")
    raise MetarunError(
        f"dataset.content asks for plot, people, rate or imdb_genres, but {folder} has no ml-1m/{SIDE_ZIP}: put it "
        f"there (or {SIDE_FILE} from https://github.com/hoyeoplee/MeLU, folder movielens/ml-1m), or leave them out"
    )
