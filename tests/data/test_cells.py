"""The cells: new users, new items and both, and no row of a new item or a judged user in training."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from toys import Toy, ratings

from metarun.data import cells, melu
from metarun.data.cells import CHOOSES, OLD, TEST_KNOWN, TEST_NEW, TESTS, UNUSED, VALIDATION_KNOWN, VALIDATION_NEW
from metarun.data.ratings import Ratings
from metarun.data.split import META, SOURCE, TEST, VALIDATION, WARM
from metarun.data.transposed import transposed
from metarun.datasets.movielens import MovieLens
from metarun.errors import MetarunError

real = pytest.mark.skipif("METARUN_DATA" not in os.environ, reason="METARUN_DATA names no folder with real data")


def table(unknown: bool = False) -> Ratings:
    found = ratings(users=200, items=60, least=20, most=50)
    if unknown:
        found.time[0] = 0
    return found


def rows_of(data: Toy, role: int) -> tuple[set[int], set[int]]:
    """Return the users and the items of the rows of a role."""
    role_of = cells.roles(data.split, data.unit, data.ratings, data.split_seed, 1)
    rows = role_of == role
    return set(data.ratings.user[rows].tolist()), set(data.ratings.item[rows].tolist())


@pytest.mark.parametrize("unknown", [False, True])
def test_new_items_have_a_fifth_of_the_ratings_and_came_last(unknown: bool) -> None:
    found = table(unknown)
    group = cells.things(found.item, found.time, found.n_items, 0)
    share = [(group[found.item] == kind).mean() for kind in (TESTS, CHOOSES, OLD)]
    assert share == pytest.approx([0.2, 0.1, 0.7], abs=0.03)
    first = np.array([found.time[found.item == i].min() for i in range(found.n_items)])
    assert (first[group == TESTS].min() > first[group == CHOOSES].max()) != unknown
    assert unknown == (group != cells.things(found.item, found.time, found.n_items, 1)).any()


def test_users_and_items_are_disjoint_and_nothing_new_is_a_source() -> None:
    data = Toy(table(), "cells")
    users, items = cells.groups("cells", "users", data.ratings, data.split_seed)
    trained, seen = rows_of(data, SOURCE)
    assert {int(users[u]) for u in trained} == {SOURCE}
    assert {int(items[i]) for i in seen} == {OLD}
    for role, who, what in (
        (TEST, TEST, OLD), (TEST_NEW, TEST, TESTS), (META, META, OLD), (WARM, SOURCE, OLD),
        (VALIDATION, VALIDATION, OLD), (VALIDATION_NEW, VALIDATION, CHOOSES),
        (VALIDATION_KNOWN, SOURCE, CHOOSES),
    ):  # fmt: skip
        asked, about = rows_of(data, role)
        assert asked
        assert {int(users[u]) for u in asked} == {who}
        assert {int(items[i]) for i in about} == {what}
    assert not rows_of(data, TEST_KNOWN)[0]


def test_both_cold_adapts_on_old_items_and_is_asked_about_new_ones() -> None:
    data = Toy(table(), "cells", supports=[0, 5], queries=8)
    assert data.cells == ["user-cold", "both-cold"]
    _, items = cells.groups("cells", "users", data.ratings, data.split_seed)
    for what, new in (("validation", CHOOSES), ("test", TESTS)):
        tasks = data.tasks(what, "both-cold")
        task = tasks.batch(torch.arange(len(tasks)))
        assert (task.support.mask.sum(1) == 5).all()
        assert ((task.query.mask.sum(1) >= 2) & (task.query.mask.sum(1) <= 8)).all()
        assert set(items[task.support.x["item"][task.support.mask > 0]].tolist()) == {OLD}
        assert set(items[task.query.x["item"][task.query.mask > 0]].tolist()) == {new}
        same = set(data.tasks(what, "user-cold").user.tolist())
        assert set(tasks.user.tolist()) & same


def test_tasks_of_items_swap_the_roles_and_keep_the_groups() -> None:
    data, by_user = Toy(table(), "cells", tasks="items", supports=[0, 3], queries=5), Toy(table(), "cells")
    assert data.cells == ["item-cold"]
    users, items = cells.groups("cells", "users", by_user.ratings, 0)
    task_group, other = cells.groups("cells", "items", data.ratings, 0)
    assert ((items == TESTS) == (task_group == TEST)).all()
    assert ((items == CHOOSES) == (task_group == VALIDATION)).all()
    assert ((other == OLD) == np.isin(users, (SOURCE, META))).all()
    tasks = data.tasks("test")
    task = tasks.batch(torch.arange(len(tasks)))
    kept = task.query.mask > 0
    assert set(users[task.query.x["item"][kept]].tolist()) <= {SOURCE, META}  # who rates a new item is known
    assert data.spec.task == "item"
    assert data.spec.tables["item"].shape == (200, 2)
    assert task.context["features"].shape[1] == 3


def test_transposing_keeps_every_rating_and_twice_gives_the_table_back() -> None:
    found = table()
    other = transposed(found)
    assert (np.diff(other.user) >= 0).all()
    assert {*zip(other.item, other.user, other.value, other.time, strict=True)} == {
        *zip(found.user, found.item, found.value, found.time, strict=True)
    }
    again = transposed(other)
    for name in ("user", "item", "value", "time", "offsets", "user_ids", "item_features", "user_features"):
        assert (getattr(again, name) == getattr(found, name)).all()
    assert other.checksum != found.checksum


def test_transposing_leaves_tags_out() -> None:
    found = Toy(table()).ratings
    names = ["c", "tag=x", "e"]
    tagged = type(found)(**{**found.__dict__, "item_feature_names": names, "tags": np.array([[0, 1, 1]], np.int32)})
    other = transposed(tagged)
    assert other.user_feature_names == ["c", "e"]
    assert other.user_features.shape[1] == 2
    assert not len(other.tags)


def test_a_cell_without_tasks_says_what_is_missing() -> None:
    data = Toy(table(), "cells", supports=[45], queries=20)
    with pytest.raises(MetarunError, match=r"no user of test in toy .split cells. has 45 .* of old items and 5 of"):
        data.tasks("test", "both-cold")


def test_melu_is_a_partition_of_1m_alone() -> None:
    with pytest.raises(MetarunError, match=r"dataset.split=melu is a partition of movielens/1m, not of toy: use"):
        _ = Toy(table(), "melu").segments


def test_melu_has_1208_new_users() -> None:
    import base64

    bits = np.unpackbits(np.frombuffer(base64.b64decode(melu.COLD_USERS), np.uint8))
    assert bits.shape == (6040,)
    assert bits.sum() == 1208
    assert (np.flatnonzero(bits)[:5] + 1).tolist() == [4, 6, 8, 12, 14]


@real
def test_melu_has_the_published_numbers_of_tasks() -> None:
    data = MovieLens(
        "1m", None, None, split="melu", split_seed=0, supports=[90], queries=10, rounds=1
    )  # fmt: skip
    assert {cell: len(data.tasks("test", cell)) for cell in data.cells} == {
        "user-cold": 668, "item-cold": 2863, "both-cold": 723,
    }  # fmt: skip
    new = melu.new(data.ratings)
    for cell in data.cells:
        tasks = data.tasks("test", cell)
        task = tasks.batch(torch.arange(len(tasks)))
        assert (task.query.mask.sum(1) == 10).all()
        assert ((task.support.mask.sum(1) >= 3) & (task.support.mask.sum(1) <= 90)).all()
        for part in (task.support, task.query):
            assert (new[part.x["item"][part.mask > 0]] == (cell != "user-cold")).all()
    assert not new[data.ratings.item[data.source_rows.numpy()]].any()
    cold = melu.cold(data.ratings)
    assert not cold[data.ratings.user[data.source_rows.numpy()]].any()


def test_unused_rows_are_nobodys_task() -> None:
    data = Toy(table(), "cells")
    assert len(rows_of(data, UNUSED)[0])
    assert not len(np.intersect1d(data.training_segments(1, 1, everyone=True), data.chosen(UNUSED, 1)))


def test_the_new_items_are_the_same_whoever_are_the_tasks_though_some_were_never_rated() -> None:
    given = ratings(users=30, items=200, least=4, most=12)
    untimed = replace(given, time=np.zeros_like(given.time))
    assert len(np.unique(given.item)) < given.n_items
    for found in (given, untimed):
        by_users = cells.groups("cells", "users", found, 3)[1]
        by_items = cells.groups("cells", "items", transposed(found), 3)[0]
        new = {int(found.item_ids[i]) for i in np.flatnonzero(by_users == cells.TESTS)}
        assert new == {int(i) for i in transposed(found).user_ids[by_items == TEST]}
        assert new
