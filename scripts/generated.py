"""Ratings of any size for the benchmarks, made block by block; every user rates different films."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from metarun.data.ratings import Ratings

LEAST = 40  # ratings of the least active user: 20 to adapt on, 20 to be judged on
BLOCK = 5_000  # users made at a time


def activity(rows: int, users: int) -> NDArray[np.int64]:
    """Return how many ratings each user has (users,): long-tailed, at least LEAST, `rows` in all."""
    extra = np.random.default_rng(0).lognormal(sigma=1.0, size=users)
    upper = np.floor(np.cumsum(extra) / extra.sum() * (rows - LEAST * users) + 0.5).astype(np.int64)
    return LEAST + np.diff(upper, prepend=0)


def blocks(rows: int, users: int, items: int) -> Iterator[dict[str, NDArray[np.int64]]]:
    """Yield the columns user, item, half (half stars, 1..10) and time of BLOCK users at a time, users ascending."""
    counts, films = activity(rows, users), np.random.default_rng(1).permutation(items)
    for first in range(0, users, BLOCK):
        rng = np.random.default_rng((2, first))
        count = np.minimum(counts[first : first + BLOCK], items)
        user = np.repeat(np.arange(len(count)), count)
        place = np.arange(len(user)) - (np.cumsum(count) - count)[user]
        item = films[(rng.integers(items, size=len(count))[user] + place) % items]
        half = (rng.random(len(user)) * 6 + (item * 7919 % 97) / 97 * 4).astype(np.int64) + 1
        yield {"user": first + user, "item": item, "half": half, "time": 1_000_000_000 + 60 * place}


def ratings(rows: int, users: int, items: int) -> Ratings:
    """Return about `rows` generated ratings."""
    parts = list(blocks(rows, users, items))
    user, item, half, time = (np.concatenate([part[name] for part in parts]) for name in parts[0])
    return Ratings(
        name="generated",
        synthetic=True,
        checksum="",
        user=user.astype(np.int32),
        item=item.astype(np.int32),
        value=(half / 2).astype(np.float32),
        time=time,
        offsets=np.searchsorted(user, np.arange(users + 1)),
        scale=(0.5, 5.0, 0.5),
        user_ids=np.arange(1, users + 1),
        item_ids=np.arange(1, items + 1),
        titles=[f"Film {number}" for number in range(1, items + 1)],
        user_features=np.zeros((users, 0), np.float32),
        user_feature_names=[],
        item_features=np.zeros((items, 0), np.float32),
        item_feature_names=[],
        tags=np.zeros((0, 3), np.int32),
    )
