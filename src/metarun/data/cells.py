"""Unseen users and unseen items at once: which cell of the split each rating lies in.

A row of an old item has the role of its user alone (`split.roles`); a row of a new item has one of the roles here.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metarun.data import melu, split
from metarun.data.ratings import Ratings
from metarun.data.split import META, META_SHARE, SOURCE, TEST, VALIDATION, WARM, hashed, people

VALIDATION_KNOWN, TEST_KNOWN, VALIDATION_NEW, TEST_NEW, UNUSED = 8, 9, 10, 11, 12
"""Rows of new items: of users that training knows, of users that it does not; rows that nothing may see."""

OLD, CHOOSES, TESTS, LEFT_OUT = 0, 1, 2, 3
"""Groups of items: for training; withheld from it, so that they look new to validation; new; for nothing."""

NEW_ITEMS, VALIDATION_ITEMS = 0.2, 0.1  # share of the ratings that new items have
MELU_VALIDATION, MELU_META, MELU_VALIDATION_ITEMS = 0.1, 0.1, 0.05  # of MeLU's training users, and of its old items


class Parts(NamedTuple):
    """What the tasks of a cell are made of; one role where support and query come from the same rows."""

    support: int
    query: int
    smallest: int | None = None  # rows of a task; None: supports + queries
    largest: int | None = None


def roles(name: str, tasks: str, ratings: Ratings, seed: int, rounds: int) -> NDArray[np.uint8]:
    """Return the role (rows,) of every rating under the split of this name.

    Raises:
        MetarunError: a time-ordered split of ratings without times; MeLU's partition of anything else.
    """
    role = split.roles(name, ratings, seed, rounds)
    if name not in ("cells", "melu"):
        return role
    warm = role == WARM
    user, item = groups(name, tasks, ratings, seed)
    role = cross(user[ratings.user], item[ratings.item], name == "melu")
    role[warm & (role == SOURCE)] = WARM
    return role


def parts(name: str, what: str, cell: str) -> Parts:
    """Return the roles behind the tasks of a cell; `what` is "validation" or "test"."""
    test = what == "test"
    known, new = (TEST_KNOWN, TEST_NEW) if test else (VALIDATION_KNOWN, VALIDATION_NEW)
    own = TEST if test else VALIDATION
    if name == "melu":
        role = {"user-cold": own, "item-cold": known, "both-cold": new}[cell]
        return Parts(role, role, *melu.ROWS)
    return Parts(own, new if cell == "both-cold" else own)


def cells(name: str, tasks: str) -> list[str]:
    """Return the unseen cells of a split, the one that names the winner first."""
    if name in ("warm_80_20", "recbole"):
        return []
    if name == "melu":
        return ["user-cold", "item-cold", "both-cold"]
    if tasks == "items":
        return ["item-cold"]
    return ["user-cold", "both-cold"] if name == "cells" else ["user-cold"]


def cross(user: NDArray[np.uint8], item: NDArray[np.uint8], known_too: bool) -> NDArray[np.uint8]:
    """Return the roles (rows,) from each row's group of users and group of items.

    known_too: training users have tasks on new items, and unseen users keep what they rated of CHOOSES (MeLU).
    """
    role = user.copy()
    if not known_too:
        role[(item == CHOOSES) & (user == TEST)] = UNUSED
    role[(item == CHOOSES) & (user == VALIDATION)] = VALIDATION_NEW
    role[(item == CHOOSES) & (user == META)] = UNUSED
    role[(item == CHOOSES) & (user == SOURCE)] = VALIDATION_KNOWN
    role[item == TESTS] = TEST_KNOWN if known_too else UNUSED
    role[(item == TESTS) & (user == TEST)] = TEST_NEW
    role[item == LEFT_OUT] = UNUSED
    return role


def things(item: NDArray[np.int32], time: NDArray[np.int64], number: int, seed: int) -> NDArray[np.uint8]:
    """Return groups (number,) of items: the new ones have a fifth of the ratings, those that choose a tenth.

    New are those that were first rated last, where every time is known; otherwise a seeded draw. What nobody rated is
    OLD and takes no part in the draw, for the transposed table does not have it.
    """
    counts = np.bincount(item, minlength=number)
    rated = np.flatnonzero(counts)
    if (time == 0).any():
        order = rated[np.argsort(hashed(seed + 4, np.arange(len(rated))))]
    else:
        first = np.full(number, np.iinfo(np.int64).max)
        np.minimum.at(first, item, time)
        order = rated[np.argsort(first[rated], kind="stable")[::-1]]
    place = np.cumsum(counts[order]) / counts.sum()
    group = np.full(number, OLD, np.uint8)
    group[order[place <= NEW_ITEMS + VALIDATION_ITEMS]] = CHOOSES
    group[order[place <= NEW_ITEMS]] = TESTS
    return group


def groups(name: str, tasks: str, ratings: Ratings, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the group of every task (users of the table) and of everything that tasks are about (its items).

    tasks="items": the table is transposed, so its users are items; the same seed then has the same groups.
    """
    if name == "melu":
        return melu_groups(ratings, seed)
    if tasks == "users":
        return people(ratings.n_users, seed), things(ratings.item, ratings.time, ratings.n_items, seed)
    items = things(ratings.user, ratings.time, ratings.n_users, seed)
    task = np.array([SOURCE, VALIDATION, TEST], np.uint8)[items]
    old = np.flatnonzero(task == SOURCE)
    task[old[np.argsort(hashed(seed, old))][: round(META_SHARE * len(old))]] = META
    person = people(ratings.n_items, seed)
    return task, np.where((person == SOURCE) | (person == META), OLD, LEFT_OUT).astype(np.uint8)


def melu_groups(ratings: Ratings, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return MeLU's groups of users and items, with training users and old items set apart that choose."""
    user = np.where(melu.cold(ratings), TEST, SOURCE).astype(np.uint8)
    known = np.flatnonzero(user == SOURCE)
    known = known[np.argsort(hashed(seed, known))]
    choosing, meta = round(MELU_VALIDATION * len(known)), round(MELU_META * len(known))
    user[known[:choosing]] = VALIDATION
    user[known[choosing : choosing + meta]] = META
    item = np.where(melu.new(ratings), TESTS, OLD).astype(np.uint8)
    old = np.flatnonzero(item == OLD)
    item[old[np.argsort(hashed(seed + 4, old))][: round(MELU_VALIDATION_ITEMS * len(old))]] = CHOOSES
    return user, item
