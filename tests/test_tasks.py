"""The tasks protocol and its sampler: a pure function of (seed, split, index) whose cost is that of its own rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from toys import Toy, adapting, negatives, ratings, rule, setting, tasks

from metarun.data.tasks_of_users import UserTasks, primes
from metarun.metrics.regression import mse
from metarun.protocols.labels import of_one
from metarun.rule import Task, chunks, support, truncate
from metarun.tasks import answers, encode, judge, outer, over_tasks

VIEWS: dict[str, Callable[[Toy], Any]] = {
    "training": lambda data: data.train_tasks(1, 2, seed=3),
    "validation": lambda data: data.tasks("validation"),
    "test": lambda data: data.tasks("test"),
    "warm": lambda data: data.warm_tasks(),
}
SPLITS = {"training": ("cold", "time"), "validation": ("cold", "time"), "test": ("cold", "time"), "warm": ("cold",)}
CASES = [(view, split) for view in VIEWS for split in SPLITS[view]]


def toy(split: str = "cold", users: int = 200) -> Toy:
    if split == "time":  # many short users, so that some are new in every slice
        return Toy(ratings(users=600, least=6, most=12, visit=0.05), split=split, supports=(0, 1, 2), queries=2)
    return Toy(ratings(users=users), split=split)


def same(a: Task, b: Task) -> None:
    for x, y in zip(tree_leaves(a), tree_leaves(b), strict=True):
        torch.testing.assert_close(x, y, rtol=0, atol=0)


def items(task: Task, t: int, which: str) -> list[int]:
    batch = getattr(task, which)
    return batch.x["item"][t][batch.mask[t] > 0].tolist()


@pytest.mark.parametrize(("view", "split"), CASES)
def test_a_batch_of_indices_equals_one_by_one(view: str, split: str) -> None:
    made, again = (VIEWS[view](toy(split)) for _ in range(2))
    indices = torch.randperm(len(made), generator=torch.Generator().manual_seed(0))[:20]
    together = made.batch(indices)
    torch.manual_seed(12345)
    for t, index in enumerate(indices):
        one = again.batch(index[None])
        width = one.query.y.shape[1]
        alone = tree_map(lambda leaf, t=t: leaf[t : t + 1], together)
        if view == "warm":  # queries are padded to the longest of the batch
            assert float(alone.query.mask[:, width:].sum()) == 0
            query = tree_map(lambda leaf, w=width: leaf[:, :w], tuple(alone.query[:4]))
            alone = alone._replace(query=alone.query._replace(x=query[0], y=query[1], mask=query[2], known=query[3]))
        same(one, alone)


@pytest.mark.parametrize(("view", "split"), CASES)
def test_no_row_comes_twice_and_support_and_query_are_disjoint(view: str, split: str) -> None:
    made = VIEWS[view](toy(split))
    number = len(made) if view != "training" else 500
    task = made.batch(torch.arange(number))
    for t in range(number):
        s, q = items(task, t, "support"), items(task, t, "query")
        assert len(set(s + q)) == len(s) + len(q)  # a user rates an item once, so an item is a row
        assert q
    assert torch.equal(task.support.mask, task.support.known)
    assert torch.equal(task.query.mask, task.query.known)


@pytest.mark.parametrize("split", ["cold", "time"])
def test_same_users_and_queries_at_every_support_size(split: str) -> None:
    data = toy(split)
    fixed = data.tasks("test")
    task = fixed.batch(torch.arange(len(fixed)))
    for t in range(len(fixed)):
        assert len(items(task, t, "query")) == data.queries
        assert len(items(task, t, "support")) == data.supports[-1]
        for size in data.supports:
            shorter = task._replace(support=truncate(task.support, size))
            assert items(shorter, t, "support") == items(task, t, "support")[:size]
    # asking for other support sizes moves the queries of nobody
    wider = Toy(data.given, split=split, supports=(0, data.supports[-1]), queries=data.queries).tasks("test")
    same(task, wider.batch(torch.arange(len(wider))))


def test_another_seed_round_or_index_draws_another_task() -> None:
    data = toy()
    indices = torch.arange(300)
    base = data.train_tasks(1, 1, seed=0).batch(indices)
    for other in (data.train_tasks(1, 1, seed=1), data.train_tasks(2, 1, seed=0)):
        assert not torch.equal(other.batch(indices).context["key"], base.context["key"])
    sizes = base.support.mask.sum(1)
    assert set(sizes.tolist()) >= {0.0, 1.0, 3.0, 5.0}
    counts = torch.bincount(base.context["key"])
    assert int((counts > 0).sum()) > 0.8 * len(data.train_tasks(1, 1, seed=0))


def test_training_rows_of_a_user_are_drawn_evenly() -> None:
    data = Toy(ratings(users=30, least=40, most=40), supports=(0, 5))
    made = data.train_tasks(2, 2, seed=0)
    task = made.batch(torch.arange(4000))
    users = task.context["key"]
    one = int(users[0])
    own = [item for t in torch.where(users == one)[0] for w in ("support", "query") for item in items(task, int(t), w)]
    counts = torch.tensor(own).unique(return_counts=True)[1]
    assert len(counts) == 40
    assert float(counts.max() / counts.min()) < 1.6


def test_a_user_with_two_rows_still_makes_a_task() -> None:
    data = Toy(ratings(users=60, least=2, most=2), supports=(0, 5))
    task = data.train_tasks(2, 2, seed=0).batch(torch.arange(100))
    assert task.query.mask.sum(1).tolist() == [1.0] * 100
    assert set(task.support.mask.sum(1).tolist()) == {0.0, 1.0}


def test_primes() -> None:
    assert primes(1, 5).tolist() == [5, 7, 11, 13, 17]
    assert primes(90, 3).tolist() == [97, 101, 103]


class Largest(TorchDispatchMode):
    """Counts operations and remembers the largest tensor that any of them returned."""

    def __init__(self) -> None:
        super().__init__()
        self.calls, self.numel = 0, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.calls += 1
        sizes = [leaf.numel() for leaf in tree_leaves(out) if isinstance(leaf, Tensor)]
        self.numel = max(self.numel, *sizes, 0)
        return out


def test_a_batch_costs_its_own_rows_however_many_ratings_there_are() -> None:
    found = []
    for users in (100, 3000):
        made = Toy(ratings(users=users, least=40, most=60)).train_tasks(1, 1, seed=0)
        assert isinstance(made, UserTasks)
        with Largest() as largest:
            made.batch(torch.arange(32))
        found.append((largest.calls, largest.numel))
    assert found[0] == found[1]
    assert found[0][1] <= 32 * (5 + 6)


def loop(rule: Any, task: Task) -> Tensor:
    """The protocol in a plain loop."""
    seen, outs = encode(rule, task), []
    for t in range(len(task.support.y)):
        one = tree_map(lambda leaf, t=t: leaf[t], seen)
        state = rule.init(one.context)
        for batch in chunks(one.support, rule.chunk):
            state = rule.update(state, batch)
        outs.append(rule.predict(state, one.query.x))
    return torch.stack(outs)


@pytest.mark.parametrize("method", adapting())
def test_vmap_false_gives_the_same_numbers(method: str) -> None:
    made = rule(method, None, *setting(method))
    task = tasks(4, others=negatives(made))
    batched, plain = (answers(made, encode(made, task), vmapped) for vmapped in (True, False))
    torch.testing.assert_close(batched, plain, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(batched, loop(made, task), rtol=1e-10, atol=1e-12)
    batched, plain = (outer(made, task, vmapped) for vmapped in (True, False))
    torch.testing.assert_close(batched, plain, rtol=1e-10, atol=1e-12)


def test_judge_is_the_metric_of_every_task_whatever_the_chunk() -> None:
    made, task = rule("transfer/ridge"), tasks(7)

    class Given:
        def batch(self, indices: Tensor) -> Task:
            return tree_map(lambda leaf: leaf[indices], task)

    for chunk in (1, 3, 100):
        found = judge(made, Given(), 6, 2, {"mse": of_one(mse)}, chunk=chunk)["mse"]
        short = task._replace(support=truncate(task.support, 2))
        out = loop(made, short)[:6, :, 0].detach()
        torch.testing.assert_close(found, mse(out, task.query.y[:6], task.query.known[:6]))
    assert not found.requires_grad


def test_truncate_keeps_the_first_rows() -> None:
    batch = tasks(3).support
    short = truncate(batch, 2)
    assert torch.equal(short.mask[:, :2], batch.mask[:, :2])
    assert float(short.mask[:, 2:].sum()) == float(short.known[:, 2:].sum()) == 0


def test_support_of_a_transductive_rule_ends_with_unlabelled_queries() -> None:
    one = tree_map(lambda leaf: leaf[0], tasks(2))
    assert support(one, False) is one.support
    both = support(one, True)
    rows = len(one.support.y)
    assert torch.equal(both.x["item"][rows:], one.query.x["item"])
    assert torch.equal(both.mask[rows:], one.query.mask)
    assert float(both.known[rows:].sum()) == float(both.y[rows:].abs().sum()) == 0


def test_chunks_are_all_rows_in_order() -> None:
    one = tree_map(lambda leaf: leaf[0], tasks(1)).support
    for rows in (None, 1, 3, 7, 50):
        parts = list(chunks(one, rows))
        assert torch.equal(torch.cat([part.y for part in parts]), one.y)
        assert torch.equal(torch.cat([part.x["item"] for part in parts]), one.x["item"])


def test_loop_keeps_trees_and_rows() -> None:
    def function(x: dict[str, Tensor], y: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return x["a"] * y, {"b": y}

    given = {"a": torch.arange(3.0)}, torch.ones(3)
    same(over_tasks(function)(*given), over_tasks(function, False)(*given))
