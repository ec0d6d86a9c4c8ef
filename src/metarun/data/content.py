"""What is known about items before anybody rates them: which of it a run uses, and what more can be read."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metarun.data import melu
from metarun.data.features import Table, joined
from metarun.data.ratings import Ratings
from metarun.data.text import reduced, text_table
from metarun.errors import MetarunError, did_you_mean

PREFIXES = {"genres": ("genre=",), "year": ("year", "decade="), "tags": ("tag=",)}
SIDE = ("plot", "people", "rate", "imdb_genres")  # from the side information of MeLU
DEFAULT = ["genres", "year", "tags"]


def with_content(ratings: Ratings, chosen: Sequence[str], text: str, width: int, seed: int, folder: Path) -> Ratings:
    """Return the ratings with item features of the kinds `chosen`: genres | year | tags | title | SIDE.

    What is computed from all items is computed from them alone, never from a rating.

    Raises:
        MetarunError: side information that is not there, or scikit-learn that is not installed.
    """
    if sorted(chosen) == sorted(DEFAULT):
        return ratings
    names = ratings.item_feature_names
    prefixes = tuple(p for kind in chosen for p in PREFIXES.get(kind, ()))
    kept = [j for j, name in enumerate(names) if name.startswith(prefixes)] if prefixes else []
    table = Table(np.asarray(ratings.item_features)[:, kept], [names[j] for j in kept])
    side = melu.side_information(ratings, folder) if set(chosen) & set(SIDE) else {}
    makers: dict[str, Callable[[], Table]] = {
        "title": lambda: text_table([bare(title) for title in ratings.titles], text, width, seed, "title"),
        "plot": lambda: text_table([" ".join(row) for row in side["plot"]], text, width, seed, "plot"),
        "people": lambda: people(side["people"], width, seed),
        "rate": lambda: multi_hot(side["rate"], "rate", 1),
        "imdb_genres": lambda: multi_hot(side["imdb_genres"], "imdb", 1),
    }
    more = [make() for kind, make in makers.items() if kind in chosen]
    found = joined([table, *more], ratings.n_items)
    column = np.full(len(names), -1, np.int32)
    column[kept] = np.arange(len(kept), dtype=np.int32)
    tags = np.column_stack([ratings.tags[:, :2], column[ratings.tags[:, 2]]]).astype(np.int32)
    # Of what the features are computed from: the last digits of an SVD differ between machines.
    digest = hashlib.sha256(f"{ratings.checksum} {found.names} {text} {width} {seed} {side}".encode())
    return replace(
        ratings,
        checksum=digest.hexdigest(),
        item_features=found.values,
        item_feature_names=found.names,
        tags=tags[tags[:, 2] >= 0],
    )


def check(chosen: Sequence[str]) -> None:
    """Raise MetarunError for content that there is not."""
    known = [*PREFIXES, "title", *SIDE]
    for kind in chosen:
        if kind not in known:
            raise MetarunError(
                f"dataset.content=[{','.join(chosen)}]: {kind} is not known about items, choose from "
                f"{', '.join(known)}.{did_you_mean(kind, known)}"
            )


def bare(title: str) -> str:
    """Return a title without its year, which is a feature of its own."""
    return title.rsplit(" (", 1)[0] if title.endswith(")") else title


def multi_hot(lists: Sequence[Sequence[str]], name: str, least: int) -> Table:
    """Return a column for every word that `least` rows or more have, (rows, words)."""
    counts = Counter(word for some in lists for word in set(some))
    known = sorted(word for word, count in counts.items() if count >= least)
    column = {word: j for j, word in enumerate(known)}
    values: NDArray[Any] = np.zeros((len(lists), len(known)), np.float32)
    for row, some in enumerate(lists):
        values[row, [column[word] for word in some if word in column]] = 1
    return Table(values, [f"{name}={word}" for word in known])


def people(lists: Sequence[Sequence[str]], width: int, seed: int) -> Table:
    """Return directors and actors of two movies or more, reduced: a few thousand columns would fit chance."""
    try:
        import sklearn  # noqa: F401
    except ImportError as error:
        raise MetarunError(
            "features of people need scikit-learn: pip install scikit-learn, or leave people out of dataset.content"
        ) from error
    return reduced(multi_hot(lists, "person", 2).values, width, seed, "people")
