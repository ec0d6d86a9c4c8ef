"""Side information as numbers: one-hot users, multi-hot genres and tags, years."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAX_TAGS = 50

AGES = {1: "under 18", 18: "18-24", 25: "25-34", 35: "35-44", 45: "45-49", 50: "50-55", 56: "56+"}
GENDERS = ("F", "M")
# The codes 0..20 of MovieLens 1M, in the words of its README.
OCCUPATIONS = (
    "other or not specified", "academic/educator", "artist", "clerical/admin", "college/grad student",
    "customer service", "doctor/health care", "executive/managerial", "farmer", "homemaker", "K-12 student", "lawyer",
    "programmer", "retired", "sales/marketing", "scientist", "self-employed", "technician/engineer",
    "tradesman/craftsman", "unemployed", "writer",
)  # fmt: skip


@dataclass(frozen=True)
class Table:
    """Named features of users or items."""

    values: NDArray[np.float32]  # (rows, F)
    names: list[str]


def age_group(years: int) -> int:
    """Return the lower end of the age group that MovieLens 1M uses, for an age in years."""
    return max((low for low in AGES if low <= years), default=1)


def users(genders: Sequence[str], ages: Sequence[int], occupations: Sequence[str], known: Sequence[str]) -> Table:
    """Return one-hot gender, age group and occupation, (N, 2 + 7 + len(known))."""
    parts = [
        _one_hot(genders, GENDERS, "gender"),
        _one_hot([AGES[age_group(age)] for age in ages], list(AGES.values()), "age"),
        _one_hot(occupations, known, "occupation"),
    ]
    return joined(parts, len(genders))


def items(titles: Sequence[str], genres: Sequence[Sequence[str]], tags: Sequence[str] = ()) -> Table:
    """Return multi-hot genres, the year (standardised, and its decade one-hot) and zeros for each of `tags`, (M, Fi).

    An item without a year in its title has zeros in every column of the year.
    """
    known = sorted({genre for some in genres for genre in some})
    column = {genre: j for j, genre in enumerate(known)}
    multi_hot = np.zeros((len(titles), len(known)), dtype=np.float32)
    pairs = [(i, column[genre]) for i, some in enumerate(genres) for genre in some]
    if pairs:
        multi_hot[tuple(np.array(pairs).T)] = 1
    return joined(
        [
            Table(multi_hot, [f"genre={genre}" for genre in known]),
            _years(titles),
            Table(np.zeros((len(titles), len(tags)), dtype=np.float32), [f"tag={tag}" for tag in tags]),
        ],
        len(titles),
    )


def year_of(title: str) -> int | None:
    """Return the year at the end of "Toy Story (1995)" or "Death Note (2006-2007)", or None."""
    match = re.search(r"\((\d{4})(?:\s*[-\u2013]\s*\d{0,4})?\)\s*$", title)
    return int(match[1]) if match else None


def frequent_tags(tags: Iterable[str]) -> list[str]:
    """Return the most frequent tags, at most MAX_TAGS, without regard to case; ties in alphabetical order."""
    counts = Counter(clean_tag(tag) for tag in tags)
    counts.pop("", None)
    return [tag for tag, _ in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:MAX_TAGS]]


def clean_tag(tag: str) -> str:
    """Return a tag as it is compared: lower case, single spaces."""
    return " ".join(tag.casefold().split())


def _years(titles: Sequence[str]) -> Table:
    years = np.array([year_of(title) or 0 for title in titles], dtype=np.float64)
    known = years > 0
    if not known.any():
        return Table(np.zeros((len(titles), 0), dtype=np.float32), [])
    spread = years[known].std() or 1.0
    standardised = np.where(known, (years - years[known].mean()) / spread, 0.0).astype(np.float32)
    decades = [f"{int(year) // 10 * 10}s" if year else "" for year in years]
    one_hot = _one_hot(decades, sorted(set(decades) - {""}), "decade")
    return joined([Table(standardised[:, None], ["year"]), one_hot], len(titles))


def _one_hot(values: Sequence[str], known: Sequence[str], name: str) -> Table:
    hot = np.array(values, dtype=object)[:, None] == np.array(known, dtype=object)[None, :]
    return Table(hot.astype(np.float32).reshape(len(values), len(known)), [f"{name}={value}" for value in known])


def joined(tables: Sequence[Table], rows: int) -> Table:
    """Return tables of the same rows side by side."""
    values = np.concatenate([np.zeros((rows, 0), dtype=np.float32), *(table.values for table in tables)], axis=1)
    return Table(values, [name for table in tables for name in table.names])
