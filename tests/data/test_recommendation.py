"""The views of ratings: nothing that judges is ever trained on, and every refusal says why."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils._pytree import tree_map
from toys import Toy, ratings

from metarun.data.recommendation import Recommendation
from metarun.data.split import META, SLICE, SOURCE, TEST, VALIDATION, WARM
from metarun.datasets.movielens import MovieLens
from metarun.errors import MetarunError
from metarun.rule import Batch, Task


def users_of(data: Recommendation, role: int) -> set[int]:
    return set(data.segments.user[data.segments.role == role].tolist())


def pairs(data: Toy, task: Task, which: str) -> set[tuple[int, int]]:
    batch: Batch = getattr(task, which)
    user = task.context["key"][:, None].expand_as(batch.y)
    kept = batch.mask > 0
    return set(zip(user[kept].tolist(), batch.x["item"][kept].tolist(), strict=True))


def source_pairs(data: Toy, rows: int = 64) -> list[tuple[int, int]]:
    source = data.source(rows, seed=0)
    found: list[tuple[int, int]] = []
    for step in range(len(source)):
        user, x, _, _ = source.batch(step)
        found += zip(user.tolist(), x["item"].tolist(), strict=True)
    return found


def train_task(data: Toy, number: int = 400, round: int = 2) -> Task:
    return data.train_tasks(round, 2, seed=0).batch(torch.arange(number))


def test_source_shows_every_source_row_once_an_epoch() -> None:
    data = Toy(ratings())
    found = source_pairs(data)
    assert len(found) == len(set(found)) == (data.segments.count * (data.segments.role == SOURCE)).sum()
    assert {user for user, _ in found} == users_of(data, SOURCE) == set(data.source(64, 0).users().tolist())


def test_source_batch_is_a_pure_function_of_its_step() -> None:
    data = Toy(ratings())
    source, again = data.source(64, seed=1), data.source(64, seed=1)
    steps = range(2 * len(source))
    forward = [source.batch(step) for step in steps]
    for step in reversed(steps):
        for a, b in zip(forward[step], again.batch(step), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=0)
    assert not torch.equal(forward[0][0], forward[len(source)][0])
    assert not torch.equal(forward[0][0], data.source(64, seed=2).batch(0)[0])


def test_source_rows_carry_their_own_label_and_side_information() -> None:
    data = Toy(ratings())
    table = {(u, i): v for u, i, v in zip(data.given.user, data.given.item, data.given.value, strict=True)}
    user, x, y, context = data.source(64, 0).batch(0)
    assert [table[pair] for pair in zip(user.tolist(), x["item"].tolist(), strict=True)] == y.tolist()
    np.testing.assert_array_equal(context["features"].numpy(), data.given.user_features[user.numpy()])


def test_no_row_that_judges_is_trained_on() -> None:
    data = Toy(ratings(users=200))
    source, training = set(source_pairs(data)), train_task(data)
    learned = source | pairs(data, training, "support") | pairs(data, training, "query")
    for split in ("validation", "test"):
        tasks = data.tasks(split)
        task = tasks.batch(torch.arange(len(tasks)))
        assert len(tasks) > 5
        judged = pairs(data, task, "support") | pairs(data, task, "query")
        assert judged.isdisjoint(learned)
        assert {u for u, _ in judged}.isdisjoint({u for u, _ in learned})
    warm = data.warm_tasks()
    assert warm is not None
    task = warm.batch(torch.arange(len(warm)))
    assert pairs(data, task, "query").isdisjoint(learned)
    assert pairs(data, task, "support") <= source


def test_meta_users_are_kept_from_pretraining() -> None:
    data = Toy(ratings(users=200))
    trained = set(train_task(data).context["key"].tolist())
    assert trained <= users_of(data, META)
    assert users_of(data, META).isdisjoint(users_of(data, SOURCE) | users_of(data, WARM))


def test_users_of_the_four_roles_are_disjoint() -> None:
    data = Toy(ratings(users=200))
    groups = [users_of(data, role) for role in (SOURCE, META, VALIDATION, TEST)]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 200


def test_each_round_of_users_adds_to_the_one_before() -> None:
    data = Toy(ratings(users=200), rounds=3)
    seen: set[int] = set()
    for round in (1, 2, 3):
        users = set(data.segments.user[data.training_segments(round, 3)].tolist())
        assert seen < users
        seen = users
    enough = data.segments.user[(data.segments.role == META) & (data.segments.count >= 2)]
    assert seen == set(enough.tolist())


def test_split_seed_is_apart_from_the_run_seed() -> None:
    table = ratings(users=200)
    one, same, other = Toy(table), Toy(table), Toy(table, split_seed=1)
    assert one.tasks("test").user.tolist() == same.tasks("test").user.tolist()
    assert set(one.tasks("test").user.tolist()) != set(other.tasks("test").user.tolist())
    # the seed of a run draws other training tasks of the same users, and touches no fixed task
    a, b = (one.train_tasks(1, 2, seed=seed).batch(torch.arange(300)) for seed in (0, 1))
    assert not torch.equal(a.support.x["item"], b.support.x["item"])
    assert set(a.context["key"].tolist()) == set(b.context["key"].tolist())


def test_withheld_rows_are_all_asked_for_once() -> None:
    data = Toy(ratings(users=100), split="warm_80_20")
    warm = data.warm_tasks()
    assert warm is not None
    assert not data.cold
    task = warm.batch(torch.arange(len(warm)))
    asked = int((data.segments.count * (data.segments.role == WARM)).sum())
    assert int(task.query.mask.sum()) == asked == len(pairs(data, task, "query"))


def test_warm_tasks_of_known_users_train_on_source_rows_alone() -> None:
    data = Toy(ratings(users=100), split="warm_80_20")
    training, source = train_task(data), set(source_pairs(data))
    assert pairs(data, training, "support") | pairs(data, training, "query") <= source


def test_time_tasks_come_after_everything_trained_on() -> None:
    data = Toy(ratings(users=300, least=10, most=14, visit=0.05), split="time", supports=(0, 1, 2), queries=3)
    time = {(u, i): t for u, i, t in zip(data.given.user, data.given.item, data.given.time, strict=True)}
    source = max(time[pair] for pair in source_pairs(data))
    ends = [source]
    for round in (1, 2):
        task = data.train_tasks(round, 2, seed=0).batch(torch.arange(300))
        rows = [time[pair] for which in ("support", "query") for pair in pairs(data, task, which)]
        assert min(rows) > source
        new = [t for t in rows if t > ends[-1]]
        assert new  # a round adds its own stretch to those before it
        streams = data.streams("train", round, 2, since=round)
        alone = [time[p] for s in streams for p in pairs(data, Task(s.context, s.batch, s.batch), "support")]
        assert min(alone) > ends[-1]
        ends.append(max(rows))
    for split in ("validation", "test"):
        streams = data.streams(split)
        rows = [time[p] for s in streams for p in pairs(data, Task(s.context, s.batch, s.batch), "support")]
        assert min(rows) > ends[-1]
        ends.append(max(rows))


def test_users_of_a_time_slice_are_new_in_it() -> None:
    data = Toy(ratings(users=300, least=2, most=5, visit=0.1), split="time", supports=(0, 1), queries=1)
    s = data.segments
    for rank, role in enumerate((SLICE + 1, SLICE + 2, VALIDATION, TEST)):
        earlier = [SOURCE, SLICE + 1, SLICE + 2, VALIDATION][: rank + 1]
        users = set(s.user[data.chosen(role, 2, new=True)].tolist())
        assert users
        assert users.isdisjoint(s.user[np.isin(s.role, earlier)].tolist())


def test_support_comes_before_the_query_in_time() -> None:
    data = Toy(ratings(users=300, least=10, most=14, visit=0.05), split="time", supports=(0, 1, 2), queries=3)
    time = {(u, i): t for u, i, t in zip(data.given.user, data.given.item, data.given.time, strict=True)}
    task = data.train_tasks(1, 2, seed=0).batch(torch.arange(200))
    for t in range(200):
        one = tree_map(lambda leaf, t=t: leaf[t : t + 1], task)
        support, query = (sorted(time[p] for p in pairs(data, one, which)) for which in ("support", "query"))
        assert query
        assert not support or support[-1] < query[0]


def test_streams_are_in_time_order_and_refused_without_it() -> None:
    data = Toy(ratings(users=300, least=2, most=5, visit=0.1), split="time", supports=(0, 1), queries=1)
    time = {(u, i): t for u, i, t in zip(data.given.user, data.given.item, data.given.time, strict=True)}
    for stream in data.streams("train") + data.streams("validation"):
        for user, item, mask in zip(stream.context["key"], stream.batch.x["item"], stream.batch.mask, strict=True):
            times = [time[(int(user), int(i))] for i in item[mask > 0]]
            assert times == sorted(times)
            assert len(times) >= 2
    with pytest.raises(MetarunError, match=r"split=cold has no order in time: .* dataset\.split=time"):
        Toy(ratings()).streams("test")


def test_unknown_times_are_refused_for_time_views_alone() -> None:
    table = ratings()
    table = replace(table, time=np.zeros_like(table.time))
    with pytest.raises(MetarunError, match=r"dataset\.split=time needs a time for every rating"):
        Toy(table, split="time").train_tasks(1, 2, seed=0)
    assert len(Toy(table).train_tasks(1, 2, seed=0))


def test_too_few_ratings_say_what_to_lower() -> None:
    with pytest.raises(
        MetarunError, match=r"no user of test in toy \(split cold\) has 11 ratings: lower dataset\.supp"
    ):
        Toy(ratings(most=10)).tasks("test")


def test_a_round_without_new_users_is_refused() -> None:
    data = Toy(ratings(users=2, least=50), "time")
    for view in (lambda: data.training_users(1, 2), lambda: data.train_tasks(1, 2, 0), lambda: data.streams("train")):
        with pytest.raises(MetarunError, match=r"no new user of round 1 in toy \(split time\).*lower pipeline\.rounds"):
            view()


def test_training_task_holds_all_rows_of_its_users() -> None:
    data = Toy(ratings(users=100))
    parts = data.training_users(2, 2, tasks=4)
    tasks = [data.training_task(part) for part in parts]
    rows = set.union(*(pairs(data, task, "support") for task in tasks))
    s = data.segments
    assert len(rows) == s.count[data.training_segments(2, 2)].sum()
    assert all(float(task.query.mask.sum()) == 0 for task in tasks)


def test_the_average_user_is_of_training_users_alone() -> None:
    data = Toy(ratings())
    before = data.nobody()["features"]
    others = [*users_of(data, VALIDATION), *users_of(data, TEST)]
    data.columns.user_features[others] = 1e6
    torch.testing.assert_close(data.nobody()["features"], before)


def test_spec_and_popularity() -> None:
    data = Toy(ratings())
    assert data.spec.sizes == {"item": 200, "user": 60}
    assert data.spec.context == 2
    assert tuple(data.spec.tables["item"].shape) == (200, 3)
    counts = np.bincount([item for _, item in source_pairs(data)], minlength=200)
    assert data.popularity().tolist() == counts.tolist()


def tagged(split: str, users: list[int], item: int = 5, **table: float) -> Toy:
    """Return ratings where the last column of the items is a tag, which these users gave to one item."""
    plain = ratings(users=200, **table)  # type: ignore[arg-type]
    features = np.append(plain.item_features, np.zeros((plain.n_items, 1), np.float32), axis=1)
    tags = np.array([(user, item, 3) for user in sorted(users)], np.int32).reshape(-1, 3)
    return Toy(replace(plain, item_features=features, item_feature_names=["c", "d", "e", "tag=f"], tags=tags), split)


def test_tags_of_users_that_judge_are_not_seen() -> None:
    plain = Toy(ratings(users=200))
    for role in (SOURCE, META, VALIDATION, TEST):
        data = tagged("cold", sorted(users_of(plain, role)))
        seen = data.spec.tables["item"][:, 3]
        assert seen.nonzero().flatten().tolist() == ([5] if role in (SOURCE, META) else [])
        assert not data.ratings.item_features[:, 3].any()  # the ratings stay as they were read
    both = [min(users_of(plain, SOURCE)), *users_of(plain, TEST)]
    assert tagged("cold", both).spec.tables["item"][5, 3] == 1


def test_tags_are_seen_of_all_known_users_and_over_time_of_nobody() -> None:
    assert tagged("warm_80_20", [7]).spec.tables["item"][5, 3] == 1
    # A tag may have been given after the ratings that it would help to predict.
    assert tagged("time", list(range(200)), visit=0.1).spec.tables["item"][5, 3] == 0


@pytest.mark.skipif("METARUN_DATA" not in os.environ, reason="METARUN_DATA names no folder with real data")
def test_real_tags_of_training_users_are_seen() -> None:
    data = MovieLens("latest-small", None, None, split="cold", split_seed=0, supports=[0, 5], queries=10, rounds=1)
    tags, judged = data.ratings.tags, users_of(data, VALIDATION) | users_of(data, TEST)
    seen = {tuple(pair) for pair in data.spec.tables["item"][:, tags[:, 2].min() :].nonzero().tolist()}
    by_role: dict[bool, set[tuple[int, int]]] = {True: set(), False: set()}
    for user, item, column in tags.tolist():
        by_role[user in judged].add((item, column - int(tags[:, 2].min())))
    assert seen == by_role[False]
    assert by_role[True] - seen  # so there was something to leak
