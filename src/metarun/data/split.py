"""Which part of the loop each rating belongs to: one role per row, a pure function of the split's name and seed."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metarun.data.ratings import Ratings, unknown_times
from metarun.errors import MetarunError

SOURCE, WARM, VALIDATION, TEST, META, CHOOSE, SLICE = 0, 1, 2, 3, 4, 7, 16
"""Pretraining; withheld rows of known users; users (or time) that choose; that test; training users whom pretraining
does not see, so that their tasks look like a new user's; withheld rows of known users that choose; SLICE + r: the time
of round r = 1, 2, ..."""

TRAIN_USERS, VALIDATION_USERS = 0.7, 0.1
META_SHARE = 0.2  # of the training users
WITHHELD = {"cold": 0.1, "cells": 0.1, "melu": 0.0, "warm_80_20": 0.2, "recbole": 0.1}
SOURCE_TIME = 0.5
BLOCK = 2_000_000


class Segments(NamedTuple):
    """The rows in order of (user, role, hash or time), cut into G segments of one user and one role."""

    order: NDArray[np.int32]  # (rows,) row numbers
    user: NDArray[np.int32]  # (G,)
    role: NDArray[np.uint8]  # (G,)
    start: NDArray[np.int64]  # (G,) first place in order
    count: NDArray[np.int64]  # type: ignore[assignment]  # (G,); hides tuple.count, which nobody calls


def hashed(seed: int, values: NDArray[Any]) -> NDArray[np.uint64]:
    """Return 64-bit hashes of integers (splitmix64; Steele, Lea and Flood, OOPSLA 2014)."""
    with np.errstate(over="ignore"):
        h = values.astype(np.uint64) + np.uint64((seed * 0x9E3779B97F4A7C15 + 0x632BE59BD9B4E019) % 2**64)
        h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return h ^ (h >> np.uint64(31))


def roles(split: str, ratings: Ratings, seed: int, rounds: int) -> NDArray[np.uint8]:
    """Return the role (rows,) of every rating.

    Raises:
        MetarunError: a time-ordered split of ratings without times.
    """
    if split == "time":
        return time_roles(ratings, rounds)
    role = np.full(len(ratings.user), SOURCE, np.uint8)
    for first, last in blocks(ratings.offsets):
        rows = slice(ratings.offsets[first], ratings.offsets[last])
        share = WITHHELD[split]
        role[rows][withheld(ratings, seed, first, last, share)] = WARM
        if split == "recbole":  # another tenth, behind the first in the same random order
            role[rows][withheld(ratings, seed, first, last, share, share)] = CHOOSE
    if split == "cold":
        group = people(ratings.n_users, seed)
        np.copyto(role, group[ratings.user], where=group[ratings.user] != SOURCE)
    return role


def people(number: int, seed: int) -> NDArray[np.uint8]:
    """Return groups (number,) of users: 70 % training, a fifth of it META and the rest SOURCE, 10 % and 20 % judged."""
    shares = np.array([TRAIN_USERS * META_SHARE, TRAIN_USERS, TRAIN_USERS + VALIDATION_USERS])
    meta, train, validation = np.round(shares * number).astype(int)
    shuffled = np.argsort(hashed(seed, np.arange(number)))
    group = np.full(number, TEST, np.uint8)
    group[shuffled[:meta]] = META
    group[shuffled[meta:train]] = SOURCE
    group[shuffled[train:validation]] = VALIDATION
    return group


def withheld(ratings: Ratings, seed: int, first: int, last: int, share: float, after: float = 0.0) -> NDArray[np.bool_]:
    """Return which rows of users [first, last) are withheld: a random `share` of each user's, rounded down.

    after: the share that an earlier call took.
    """
    rows = np.arange(ratings.offsets[first], ratings.offsets[last])
    user = ratings.user[rows[0] : rows[-1] + 1]
    shuffled = grouped(user - first, hashed(seed + 1, rows))
    place = np.arange(len(rows)) - (ratings.offsets[user] - rows[0])
    counts = np.diff(ratings.offsets)[user]
    picked = np.zeros(len(rows), bool)
    taken = np.floor(after * counts)
    picked[shuffled] = (place >= taken) & (place < taken + np.floor(share * counts))
    return picked


def need_times(split: str, ratings: Ratings) -> None:
    """Raise MetarunError where a rating has no time."""
    unknown = unknown_times(ratings)
    if unknown:
        raise MetarunError(
            f"dataset.split={split} needs a time for every rating, but {unknown} of {len(ratings.time)} in "
            f"{ratings.name} have none (0). Leaving them out would bias the data; keep users whose times are known "
            "with dataset.users=FIRST-LAST, or use dataset.split=cold."
        )


def time_roles(ratings: Ratings, rounds: int) -> NDArray[np.uint8]:
    """Return roles by time: half for pretraining, then equal slices for the rounds, validation and test."""
    need_times("time", ratings)
    shares = SOURCE_TIME + (1 - SOURCE_TIME) * np.arange(rounds + 2) / (rounds + 2)
    edges = np.quantile(ratings.time, shares, method="lower")
    names = np.array([SOURCE, *range(SLICE + 1, SLICE + 1 + rounds), VALIDATION, TEST], np.uint8)
    found: NDArray[np.uint8] = names[np.searchsorted(edges, ratings.time, side="right")]
    return found


def segments(ratings: Ratings, role: NDArray[np.uint8], seed: int, by_time: bool) -> Segments:
    """Return the rows grouped by user and role, in time order or in the seeded order that tasks are drawn from."""
    order = np.empty(len(role), np.int32)
    cut = np.empty(len(role), bool)
    for first, last in blocks(ratings.offsets):
        low, high = ratings.offsets[first], ratings.offsets[last]
        rows = np.arange(low, high)
        group = (ratings.user[low:high] - first) * np.int64(256) + role[low:high]
        block = grouped(group, None if by_time else hashed(seed + 2, rows))
        order[low:high] = rows[block]
        user, part = ratings.user[low:high][block], role[low:high][block]
        cut[low] = True
        cut[low + 1 : high] = (user[1:] != user[:-1]) | (part[1:] != part[:-1])
    start = np.flatnonzero(cut)
    count = np.diff(np.append(start, len(order)))
    opening = order[start]
    return Segments(order, ratings.user[opening], role[opening], start, count)


def grouped(group: NDArray[Any], inside: NDArray[np.uint64] | None) -> NDArray[np.int64]:
    """Return the order (rows,) by group >= 0 and, within a group, by the hashes `inside`, or as the rows come.

    Group and hash are packed into one number, the hash less its lowest bits: one sort instead of one per key.
    """
    key = group.astype(np.uint64)
    if inside is not None:
        bits = np.uint64(int(key.max()).bit_length())
        key = (key << (np.uint64(64) - bits)) | (inside >> bits) if bits else inside
    return np.argsort(key, kind="stable")


def blocks(offsets: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Return ranges of whole users of about BLOCK rows, so that sorting never needs a copy of everything."""
    users = len(offsets) - 1
    cuts = np.unique(np.searchsorted(offsets, np.arange(0, offsets[-1], BLOCK)))
    edges = [0, *(int(c) for c in cuts if 0 < c < users), users]
    return list(pairwise(edges))
