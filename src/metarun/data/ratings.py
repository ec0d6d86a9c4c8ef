"""Ratings as columns: what every view of the data is cut from."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metarun.errors import MetarunError

Ids = NDArray[Any]
"""Ids as in the files: int64, or text of fixed width (<U) where not all are whole numbers."""

ARRAYS = (
    "user", "item", "value", "time", "offsets", "user_ids", "item_ids", "user_features", "item_features", "tags"
)  # fmt: skip
WORDS = ("scale", "titles", "user_feature_names", "item_feature_names")


@dataclass(frozen=True)
class Ratings:
    """Ratings of N users for M items, sorted by user, then time, then the order of the file."""

    name: str  # "movielens/1m", "movielens/sample (synthetic)": printed everywhere
    synthetic: bool
    checksum: str  # sha256 of all columns below
    user: NDArray[np.int32]  # (rows,) 0..N-1
    item: NDArray[np.int32]  # (rows,) 0..M-1
    value: NDArray[np.float32]  # (rows,) rating
    time: NDArray[np.int64]  # (rows,) seconds since 1970; 0 = unknown
    offsets: NDArray[np.int64]  # (N + 1,) user u owns rows offsets[u]:offsets[u + 1]; every user owns at least one
    scale: tuple[float, float, float]  # lowest, highest, step
    user_ids: Ids  # (N,) ids as in the files, ascending
    item_ids: Ids  # (M,) the whole catalogue, ascending; an item may have no rating
    titles: list[str]  # M titles
    user_features: NDArray[np.float32]  # (N, Fu); Fu may be 0
    user_feature_names: list[str]
    item_features: NDArray[np.float32]  # (M, Fi); zeros in the columns of tags, which a view fills by who may be seen
    item_feature_names: list[str]
    tags: NDArray[np.int32]  # (A, 3) user, item, column of item_features, ascending; A = 0 without tags
    feedback: str = "explicit"  # explicit: `value` is a rating; implicit: the weight of an interaction, scale from 0

    @property
    def n_users(self) -> int:
        """Number of users N."""
        return len(self.user_ids)

    @property
    def n_items(self) -> int:
        """Number of items M in the catalogue, rated or not."""
        return len(self.item_ids)


def unknown_times(ratings: Ratings) -> int:
    """Return how many rows have no known time."""
    return int(np.count_nonzero(ratings.time == 0))


def checksum(columns: dict[str, NDArray[Any]], words: dict[str, Any]) -> str:
    """Return the sha256 over named arrays (names, types, shapes, little-endian bytes) and over `words` as JSON."""
    digest = hashlib.sha256()
    for name in sorted(columns):
        array = np.ascontiguousarray(columns[name])
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    digest.update(json.dumps(words, sort_keys=True, ensure_ascii=True).encode())
    return digest.hexdigest()


def assemble(name: str, synthetic: bool, digest: str, arrays: dict[str, Any], words: dict[str, Any]) -> Ratings:
    """Return `Ratings` from its ARRAYS and WORDS by name; the scale may be a list, as JSON has it."""
    low, high, step = words["scale"]
    return Ratings(name=name, synthetic=synthetic, checksum=digest, **arrays, **{**words, "scale": (low, high, step)})


def user_offsets(user: NDArray[np.int32], n_users: int) -> NDArray[np.int64]:
    """Return (n_users + 1,) row offsets of the ascending column `user`."""
    return np.searchsorted(user, np.arange(n_users + 1)).astype(np.int64)


def keep_users(ratings: Ratings, users: str | None) -> Ratings:
    """Return the ratings of the users whose ids lie in `users` ("1-2999", both ends kept); all for None.

    Items stay as they are. The name says the range and the checksum covers it: a part is never taken for the whole.

    Raises:
        MetarunError: `users` is not a range, or no user lies in it.
    """
    if users is None:
        return ratings
    match = re.fullmatch(r"\s*(\d+)\s*-\s*(\d+)\s*", str(users))
    if match is None or int(match[1]) > int(match[2]):
        raise MetarunError(
            f"dataset.users={users} is not a range of user ids: write dataset.users=1-2999, or null for all."
        )
    low, high = (int(part) for part in match.groups())
    ids = ratings.user_ids
    if ids.dtype.kind != "i":
        raise MetarunError(f"dataset.users={users}: the user ids of {ratings.name} are text ('{ids[0]}'), not numbers.")
    first, stop = int(np.searchsorted(ids, low)), int(np.searchsorted(ids, high, side="right"))
    if first == stop:
        raise MetarunError(
            f"dataset.users={users} keeps nobody: the user ids of {ratings.name} go from {ids[0]} to {ids[-1]}."
        )
    if stop - first == len(ids):
        return ratings
    rows = slice(int(ratings.offsets[first]), int(ratings.offsets[stop]))
    given = slice(*np.searchsorted(ratings.tags[:, 0], (first, stop)))
    kept = f"{ids[first]}-{ids[stop - 1]}"
    return replace(
        ratings,
        name=f"{ratings.name} (users {kept})",
        checksum=hashlib.sha256(f"{ratings.checksum} users {kept}".encode()).hexdigest(),
        user=ratings.user[rows] - np.int32(first),
        item=ratings.item[rows],
        value=ratings.value[rows],
        time=ratings.time[rows],
        offsets=ratings.offsets[first : stop + 1] - ratings.offsets[first],
        user_ids=ids[first:stop],
        user_features=ratings.user_features[first:stop],
        tags=ratings.tags[given] - np.array([first, 0, 0], np.int32),
    )
