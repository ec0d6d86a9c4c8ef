"""The same ratings with the roles of users and items swapped: a task is an item, its head the item's vector."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np

from metarun.data.ratings import Ratings, user_offsets


def transposed(ratings: Ratings) -> Ratings:
    """Return the table whose users are the rated items and whose items are the users, sorted by item, then time.

    Items nobody rated and tags are left out: a task has at least one row, and who gave a tag is a judged user too.
    """
    kept = np.unique(ratings.item)
    number = np.full(ratings.n_items, -1, np.int32)
    number[kept] = np.arange(len(kept), dtype=np.int32)
    item = number[ratings.item]
    order = np.lexsort((ratings.time, item))
    plain = [j for j, name in enumerate(ratings.item_feature_names) if not name.startswith("tag=")]
    return replace(
        ratings,
        name=f"{ratings.name} (tasks: items)",
        checksum=hashlib.sha256(f"{ratings.checksum} transposed".encode()).hexdigest(),
        user=item[order],
        item=ratings.user[order],
        value=ratings.value[order],
        time=ratings.time[order],
        offsets=user_offsets(item[order], len(kept)),
        user_ids=ratings.item_ids[kept],
        item_ids=ratings.user_ids,
        titles=[str(user) for user in ratings.user_ids],
        user_features=np.ascontiguousarray(ratings.item_features[kept][:, plain]),
        user_feature_names=[ratings.item_feature_names[j] for j in plain],
        item_features=ratings.user_features,
        item_feature_names=ratings.user_feature_names,
        tags=np.zeros((0, 3), np.int32),
    )
