"""What `metarun data check FILE --as ratings` says: what a run would see, and the command that starts it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metarun.data.own_ratings import Found
from metarun.data.ratings import Ratings, unknown_times

Counts = NDArray[np.int64]

BARS = 12  # of a histogram
WIDE = 40  # characters of the longest bar
FEWEST = 10  # users: with fewer, no tenth of them is left to validate on


def lines(found: Found, supports: Sequence[int], queries: int, words: Sequence[str]) -> list[str]:
    """Return what there is to say; `words` are the overrides that a run with the same options needs."""
    ratings = found.ratings
    rows, users, items = len(ratings.user), ratings.n_users, ratings.n_items
    counts, rated = np.diff(ratings.offsets), len(np.unique(ratings.item))
    low, high, step = ratings.scale
    steps = f" in steps of {step:g}" if step else ", continuous"
    scale = f"explicit, ratings from {low:g} to {high:g}{steps}"
    implicit = f"implicit, weights from {ratings.value.min():g} to {ratings.value.max():g}"
    said = [
        *found.notes,
        f"rows: {found.rows:,}, of which {rows:,} are used" if found.rows > rows else f"rows: {rows:,}",
        f"users: {users:,}, ids are {_kind(ratings.user_ids)}, {len(ratings.user_feature_names)} features",
        f"items: {items:,}, ids are {_kind(ratings.item_ids)}, {len(ratings.item_feature_names)} features; "
        f"{rated:,} have rows",
        f"density: {100 * rows / (users * max(rated, 1)):.3g} % of users x items that have rows",
        f"rows of a user: {counts.min():,} to {counts.max():,}, {int(np.median(counts)):,} at the median",
        f"feedback: {scale if ratings.feedback == 'explicit' else implicit}",
        *histogram(ratings),
        *[f"event {name}: {count:,} rows" for name, count in found.events.items()],
        times(ratings),
        f"sha256 of the columns: {ratings.checksum}",
    ]
    return [*said, *_enough(ratings, supports, queries, words)]


def _kind(ids: NDArray[Any]) -> str:
    return f"{'whole numbers' if ids.dtype.kind == 'i' else 'text'} from {str(ids[0])!r} to {str(ids[-1])!r}"


def histogram(ratings: Ratings) -> list[str]:
    """Return bars of the values, one for each that occurs or, of many, for BARS equal ranges."""
    values, counts = np.unique(ratings.value, return_counts=True)
    names = [f"{value:g}" for value in values]
    if len(values) > BARS:
        counts, edges = np.histogram(ratings.value, BARS)
        names = [f"{a:.3g} .. {b:.3g}" for a, b in pairwise(edges)]
    width = max(map(len, names))
    share = counts / counts.sum()
    return [
        f"  {name:>{width}}  {100 * part:5.1f} %  {'#' * round(WIDE * part / share.max())}".rstrip()
        for name, part in zip(names, share, strict=True)
    ]


def times(ratings: Ratings) -> str:
    """Return the range of the known times."""
    unknown = unknown_times(ratings)
    if unknown == len(ratings.time):
        return "times: none"
    known = ratings.time[ratings.time > 0]
    first, last = (datetime.fromtimestamp(int(t), UTC).strftime("%Y-%m-%d %H:%M") for t in (known.min(), known.max()))
    some = f"; {unknown:,} rows have none" if unknown else ""
    return f"times: {first} to {last} UTC{some}"


def _enough(ratings: Ratings, supports: Sequence[int], queries: int, words: Sequence[str]) -> list[str]:
    """Return how many users have the rows that are asked for, which splits are possible, and the command of a run."""
    counts = np.diff(ratings.offsets)
    said = [_with_rows(counts, supports, queries)]
    if len(counts) < FEWEST:
        return [*said, f"{len(counts)} users are too few to run on: 70 / 10 / 20 % of them need {FEWEST} at least"]
    given = supports, queries
    supports, queries = _fitting(counts, *given)
    if not queries:
        return [*said, "most users have fewer than 3 rows: too few to adapt on and to be judged by"]
    extra = _worded(words, given, (supports, queries))
    if (supports, queries) != given:
        said.append(f"as in the command below: {_with_rows(counts, supports, queries)}")
    timed = "; time and stream need a time for every row" if unknown_times(ratings) else ", time, stream"
    said.append(f"dataset.split: cold, cells, warm_80_20{timed}")
    if ratings.feedback == "implicit":
        return [*said, f"run it: {shlex.join(['metarun', '+experiment=ratings_topn', *extra])}"]
    low, high, step = ratings.scale
    positive = low + np.ceil((high - low) / 2 / step) * step if step else (low + high) / 2
    said.append(f"run it: {shlex.join(['metarun', '+experiment=ratings', *extra])}")
    # Only these rows are left of a ranking, and with them fewer users.
    liked = ratings.value >= np.float32(f"{positive:.3g}")
    left = np.unique(ratings.user[liked], return_counts=True)[1]
    fits = _fitting(left, *given) if len(left) >= FEWEST else ([], 0)
    if fits[1]:
        extra = [*_worded(words, given, fits), f"dataset.positive={positive:.3g}"]
        ranked = shlex.join(["metarun", "+experiment=ratings_topn", *extra])
        said.append(f"rank items, a rating of {positive:.3g} or more as an interaction: {ranked}")
    return said


def _fitting(counts: Counts, supports: Sequence[int], queries: int) -> tuple[Sequence[int], int]:
    """Return the sizes and queries as given where enough users have the rows, else affordable ones."""
    if (counts >= max(supports) + queries).sum() >= max(FEWEST, len(counts) / 5):
        return supports, queries
    return affordable(counts)


def _worded(words: Sequence[str], given: tuple[Sequence[int], int], fits: tuple[Sequence[int], int]) -> list[str]:
    """Return the overrides, with sizes and queries that fit in place of those given."""
    if fits == given:
        return list(words)
    kept = [word for word in words if not word.startswith(("dataset.supports=", "dataset.queries="))]
    return [*kept, f"dataset.supports=[{','.join(map(str, fits[0]))}]", f"dataset.queries={fits[1]}"]


def _with_rows(counts: Counts, supports: Sequence[int], queries: int) -> str:
    largest = max(supports)
    enough = int((counts >= largest + queries).sum())
    return (
        f"users with {largest + queries} rows (dataset.supports up to {largest}, dataset.queries={queries}): "
        f"{enough:,} of {len(counts):,}"
    )


def affordable(counts: Counts) -> tuple[list[int], int]:
    """Return support sizes and queries that the upper half of the users have rows for; 0 queries: none fit."""
    rows = int(np.median(counts))
    queries = min(20, rows // 3)
    supports = [size for size in (0, 1, 3, 5, 10, 20) if size <= rows - queries]
    return supports, queries
