"""Ratings as interactions: what stays, under which numbers, and the tenths of RecBole's protocol."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from toys import Toy, ratings

from metarun.data.implicit import interactions
from metarun.data.split import CHOOSE, SOURCE, WARM, roles
from metarun.errors import MetarunError


def pairs(found: object) -> set[tuple[int, int]]:
    return set(zip(found.user_ids[found.user].tolist(), found.item_ids[found.item].tolist(), strict=True))  # type: ignore[attr-defined]


def test_ratings_from_the_threshold_on_stay_and_are_worth_one() -> None:
    given = ratings()
    found = interactions(given, 4.0, None)
    keep = given.value >= 4
    wanted = set(zip(given.user[keep].tolist(), given.item[keep].tolist(), strict=True))
    assert pairs(found) == wanted
    assert (found.value == 1).all()
    assert found.n_items == given.n_items, "what nobody chose is a candidate all the same"
    assert np.diff(found.offsets).min() > 0
    assert found.checksum != given.checksum
    assert "rating >= 4" in found.name


def test_the_core_is_where_nothing_more_falls_off() -> None:
    given = ratings(users=40, items=40, most=35)
    found = interactions(given, None, 6)
    assert np.bincount(found.user).min() >= 6
    assert np.bincount(found.item).min() >= 6
    assert found.value.max() > 1, "without a threshold ratings keep their values"
    # The largest such set: what was dropped cannot be put back one user or item at a time.
    kept = pairs(found)
    users, items = {u for u, _ in kept}, {i for _, i in kept}
    for user, item in zip(given.user.tolist(), given.item.tolist(), strict=True):
        assert ((user, item) in kept) == (user in users and item in items)


def test_nothing_left_is_an_error_with_both_options() -> None:
    with pytest.raises(MetarunError, match=r"dataset\.positive=9 dataset\.core=None keep nothing of toy"):
        interactions(ratings(), 9, None)
    assert interactions(ratings(), None, None) is not None


def test_recbole_takes_two_disjoint_tenths_of_every_user() -> None:
    given = ratings(users=50, least=10, most=60)
    role = roles("recbole", given, 3, 1)
    for user in range(given.n_users):
        mine = role[given.offsets[user] : given.offsets[user + 1]]
        tenth = len(mine) // 10
        assert (mine == WARM).sum() == (mine == CHOOSE).sum() == tenth
        assert (mine == SOURCE).sum() == len(mine) - 2 * tenth
    assert (role != roles("recbole", given, 4, 1)).any()


def test_known_users_have_all_their_rows_and_see_what_the_test_may_not_name() -> None:
    data = Toy(ratings(users=50, least=10), split="recbole", negatives=3, positive=1.0)
    for choose in (True, False):
        tasks = data.warm_tasks(choose)
        assert tasks is not None
        some = np.arange(len(tasks))
        task = tasks.batch(torch.from_numpy(some))
        seen = tasks.seen(torch.from_numpy(some))
        given = data.ratings
        role = roles("recbole", given, 0, 2)
        for i, user in enumerate(tasks.user.tolist()):
            mine = slice(int(given.offsets[user]), int(given.offsets[user + 1]))
            of = {r: set(given.item[mine][role[mine] == r].tolist()) for r in (SOURCE, CHOOSE, WARM)}
            there = task.support.mask[i] > 0
            assert set(task.support.x["item"][i][there].tolist()) == of[SOURCE]
            asked = task.query.mask[i] > 0
            assert set(task.query.x["item"][i][asked].tolist()) == of[CHOOSE if choose else WARM]
            known = of[SOURCE] if choose else of[SOURCE] | of[CHOOSE]
            assert set(seen[seen[:, 0] == i, 1].tolist()) == known
