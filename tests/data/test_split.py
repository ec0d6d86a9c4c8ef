"""Roles of rows: a pure function of the split's name and seed, and no row of an unseen user in the source."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from toys import ratings

from metarun.data import split
from metarun.data.split import META, SLICE, SOURCE, TEST, VALIDATION, WARM, hashed, roles, segments
from metarun.errors import MetarunError


def of_users(role: np.ndarray, user: np.ndarray, users: int) -> list[set[int]]:
    return [set(role[user == u].tolist()) for u in range(users)]


@pytest.mark.parametrize("name", ["cold", "warm_80_20", "time"])
def test_roles_are_a_pure_function_of_the_split_and_its_seed(name: str) -> None:
    table = ratings()
    first = roles(name, table, 0, 2)
    np.random.default_rng(5).random()
    assert (first == roles(name, table, 0, 2)).all()
    assert first.dtype == np.uint8
    other = roles(name, table, 1, 2)
    assert (first == other).all() if name == "time" else (first != other).any()


def test_cold_users_have_one_role_and_known_users_keep_most_rows() -> None:
    table = ratings(users=400)
    role = roles("cold", table, 3, 1)
    found = of_users(role, table.user, 400)
    alone = {kind: sum(one == {kind} for one in found) for kind in (META, VALIDATION, TEST)}
    known = [one for one in found if one <= {SOURCE, WARM} and SOURCE in one]
    assert alone == {META: 56, VALIDATION: 40, TEST: 80}
    assert len(known) == 224
    for u in range(400):
        rows = role[table.user == u]
        if SOURCE in rows:
            assert (rows == WARM).sum() == len(rows) // 10


def test_warm_withholds_a_fifth_of_every_user() -> None:
    table = ratings(users=50)
    role = roles("warm_80_20", table, 0, 1)
    assert set(role.tolist()) == {SOURCE, WARM}
    for u in range(50):
        rows = role[table.user == u]
        assert (rows == WARM).sum() == int(0.2 * len(rows))


def test_blocks_of_users_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    table = ratings()
    whole = {name: roles(name, table, 0, 2) for name in ("cold", "warm_80_20")}
    cut = segments(table, whole["cold"], 0, by_time=False)
    monkeypatch.setattr(split, "BLOCK", 100)
    for name, role in whole.items():
        assert (roles(name, table, 0, 2) == role).all()
    for a, b in zip(cut, segments(table, whole["cold"], 0, by_time=False), strict=True):
        assert (a == b).all()


@pytest.mark.parametrize("rounds", [1, 3])
def test_time_puts_every_source_row_before_the_first_slice(rounds: int) -> None:
    table = ratings()
    role = roles("time", table, 0, rounds)
    order = [SOURCE, *range(SLICE + 1, SLICE + 1 + rounds), VALIDATION, TEST]
    assert set(role.tolist()) == set(order)
    for before, after in pairwise(order):
        assert table.time[role == before].max() < table.time[role == after].min()
    assert abs((role == SOURCE).mean() - 0.5) < 0.01
    parts = [(role == kind).mean() for kind in order[1:]]
    assert max(parts) - min(parts) < 0.01


def test_rows_of_one_second_stay_together() -> None:
    table = ratings()
    table = replace(table, time=1000 + table.time // 50 * 50)
    role = roles("time", table, 0, 2)
    for second in np.unique(table.time):
        assert len(set(role[table.time == second].tolist())) == 1


def test_time_refuses_unknown_times_with_the_reason() -> None:
    table = ratings()
    time = table.time.copy()
    time[[3, 8]] = 0
    with pytest.raises(MetarunError, match=rf"2 of {len(time)} in toy have none .* dataset\.split=cold"):
        roles("time", replace(table, time=time), 0, 2)
    roles("cold", replace(table, time=time), 0, 2)


@pytest.mark.parametrize("by_time", [False, True])
def test_segments_hold_every_row_once(by_time: bool) -> None:
    table = ratings()
    role = roles("cold", table, 0, 1)
    s = segments(table, role, 0, by_time)
    assert sorted(s.order.tolist()) == list(range(len(role)))
    assert s.count.sum() == len(role)
    assert len({*zip(s.user.tolist(), s.role.tolist(), strict=True)}) == len(s.user)
    for user, kind, first, count in zip(s.user, s.role, s.start, s.count, strict=True):
        rows = s.order[first : first + count]
        assert (table.user[rows] == user).all()
        assert (role[rows] == kind).all()
        if by_time:
            assert (np.diff(table.time[rows]) > 0).all()
        elif count > 20:
            assert (np.diff(rows) < 0).any()


def test_hash_is_splitmix64() -> None:
    """Against Python's integers; the increment of seed 0 is that of the function, not of the reference stream."""

    def one(seed: int, value: int) -> int:
        mask = 2**64 - 1
        h = (value + seed * 0x9E3779B97F4A7C15 + 0x632BE59BD9B4E019) & mask
        h = ((h ^ (h >> 30)) * 0xBF58476D1CE4E5B9) & mask
        h = ((h ^ (h >> 27)) * 0x94D049BB133111EB) & mask
        return h ^ (h >> 31)

    values = np.array([0, 1, 2**31, 2**40])
    for seed in (0, 7):
        assert hashed(seed, values).tolist() == [one(seed, int(v)) for v in values]
