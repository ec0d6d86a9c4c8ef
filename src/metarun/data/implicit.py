"""Ratings as interactions: what was chosen, whatever was thought of it afterwards."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metarun.data.ratings import Ratings, user_offsets
from metarun.errors import MetarunError


def interactions(ratings: Ratings, positive: float | None, core: int | None) -> Ratings:
    """Return the ratings of at least `positive`, each worth 1; then only users and items with `core` rows or more.

    Items stay in the catalogue unless `core` drops them, users without a row go. None leaves things as they are.

    Raises:
        MetarunError: nothing is left.
    """
    if positive is None and core is None:
        return ratings
    keep = np.ones(len(ratings.user), bool) if positive is None else ratings.value >= np.float32(positive)
    said = "" if positive is None else f" (rating >= {positive:g})"
    if core is not None:
        keep = in_core(ratings, keep, core)
        said += f" ({core}-core)"
    if not keep.any():
        raise MetarunError(
            f"dataset.positive={positive} dataset.core={core} keep nothing of {ratings.name}, whose ratings go from "
            f"{ratings.scale[0]:g} to {ratings.scale[1]:g}: lower them."
        )
    return cut(ratings, keep, core is not None, positive is not None, said)


def in_core(ratings: Ratings, keep: NDArray[np.bool_], core: int) -> NDArray[np.bool_]:
    """Return which rows are left when users and items with fewer than `core` rows are dropped until none is."""
    keep = keep.copy()
    while True:
        users = np.bincount(ratings.user[keep], minlength=ratings.n_users)
        items = np.bincount(ratings.item[keep], minlength=ratings.n_items)
        fewer = keep & (users[ratings.user] >= core) & (items[ratings.item] >= core)
        if fewer.sum() == keep.sum():
            return keep
        keep = fewer


def cut(ratings: Ratings, keep: NDArray[np.bool_], drop_items: bool, flat: bool, said: str) -> Ratings:
    """Return some of the rows, without the users that have none; `drop_items`: nor such items; `flat`: values are 1."""
    users, user = np.unique(ratings.user[keep], return_inverse=True)
    items: NDArray[np.integer] = np.arange(ratings.n_items)
    item: NDArray[np.integer] = ratings.item[keep]
    if drop_items:
        items, item = np.unique(item, return_inverse=True)
    changes: dict[str, Any] = {
        "user": user.astype(np.int32),
        "item": item.astype(np.int32),
        "value": np.ones(len(user), np.float32) if flat else ratings.value[keep],
        "time": ratings.time[keep],
        "offsets": user_offsets(user.astype(np.int32), len(users)),
        "user_ids": ratings.user_ids[users],
        "item_ids": ratings.item_ids[items],
        "titles": [ratings.titles[i] for i in items],
        "user_features": ratings.user_features[users],
        "item_features": ratings.item_features[items],
        "tags": renumbered(ratings.tags, users, items),
    }
    if flat:
        changes |= {"scale": (0.0, 1.0, 1.0), "feedback": "implicit"}
    digest = hashlib.sha256(f"{ratings.checksum}{said}".encode()).hexdigest()
    return replace(ratings, name=ratings.name + said, checksum=digest, **changes)


def renumbered(tags: NDArray[np.int32], users: NDArray[Any], items: NDArray[Any]) -> NDArray[np.int32]:
    """Return the tags of kept users and items (both ascending) under their new numbers."""
    kept = tags[np.isin(tags[:, 0], users) & np.isin(tags[:, 1], items)]
    found = np.column_stack([np.searchsorted(users, kept[:, 0]), np.searchsorted(items, kept[:, 1]), kept[:, 2]])
    return found.astype(np.int32)
