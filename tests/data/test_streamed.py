"""Streams as data: nothing of a later row is seen, stretches are pure, concepts are where they are said to be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from metarun.data.standardise import Running
from metarun.data.streamed import Rows, Streamed
from metarun.data.streams.drifting import generate, schedule
from metarun.errors import MetarunError

VIEW: dict[str, Any] = {
    "opening": 0, "standardise": True, "lags": [], "supports": [2, 4], "queries": 3, "test_tasks": 6, "split_seed": 0,
}  # fmt: skip


class Toy(Streamed):
    """Twenty to sixty rows of three features and as many classes as are asked for."""

    def __init__(self, classes: int = 2, rows: int = 60, **view: Any) -> None:
        super().__init__(**{**VIEW, **view})
        self.number, self.total = classes, rows

    def read(self) -> Rows:
        draws = np.random.default_rng(0)
        x = torch.from_numpy(draws.normal(100.0, [[1.0, 5.0, 0.0]], (self.total, 3)).astype(np.float32))
        y = torch.from_numpy(draws.integers(0, max(self.number, 1), self.total))
        y = y if self.number else y.float() + 0.5
        names = [str(i) for i in range(self.number)]
        return Rows(x, y, ["a", "b", "c"], names, [30], "toy", "0")


def plainly(x: Tensor) -> Tensor:
    """Return rows standardised by all rows up to and with themselves, one by one."""
    out = torch.zeros_like(x)
    for row in range(len(x)):
        seen = x[: row + 1].double()
        spread = seen.var(0, unbiased=False)
        out[row] = torch.where(spread > 1e-12, (x[row] - seen.mean(0)) / spread.clamp(min=1e-12).sqrt(), 0.0).float()
    return out


@pytest.mark.parametrize("block", [1, 7, 60])
def test_running_standardisation_is_that_of_a_loop_over_rows(block: int) -> None:
    x = Toy().found.x
    scaler = Running(3)
    found = torch.cat([scaler(part) for part in x.split(block)])
    torch.testing.assert_close(found, plainly(x), rtol=1e-4, atol=1e-4)
    assert (found[:, 2] == 0).all(), "a constant feature reads 0"


def test_a_later_row_changes_nothing_of_an_earlier_one() -> None:
    x = Toy().found.x
    other = x.clone()
    other[40:] += 1000.0
    assert torch.equal(Running(3)(x)[:40], Running(3)(other)[:40])


@pytest.mark.parametrize(("classes", "width"), [(0, 1), (2, 1), (4, 4)])
def test_lags_are_labels_of_rows_before(classes: int, width: int) -> None:
    data = Toy(classes, lags=[1, 5], standardise=False)
    y = data.found.y
    x, labels = data.part(20, 30, data.scaler())
    assert torch.equal(labels, y[20:30])
    assert data.groups["lags"] == slice(3, 3 + 2 * width)
    for place, lag in enumerate((1, 5)):
        told, past = x[:, 3 + place * width : 3 + (place + 1) * width], y[20 - lag : 30 - lag]
        if classes == 4:
            assert torch.equal(told, torch.nn.functional.one_hot(past, 4).float())
        else:
            assert torch.equal(told[:, 0], 2.0 * past - 1 if classes else past)
    first, _ = data.part(0, 3, data.scaler())
    assert torch.equal(first[0, 3:], torch.zeros(2 * width)), "before the first row there is no label"


def test_stretches_are_pure_and_their_support_lies_next_to_the_query() -> None:
    data = Toy(opening=20, standardise=False)
    tasks = data.tasks("test")
    together, alone = tasks.batch(torch.arange(6)), tasks.batch(torch.tensor([4]))
    assert torch.equal(together.support.x[4], alone.support.x[0])
    x = data.found.x
    for task in range(6):
        query, support = together.query.x[task], together.support.x[task]
        first = int((x == query[0]).all(1).nonzero()[0])
        assert torch.equal(query, x[first : first + 3])
        assert torch.equal(support, x[first - 4 : first].flip(0)), "row r is the r-th before the query"


def test_train_validation_and_test_stretches_share_no_row() -> None:
    data = Toy(opening=20, standardise=False)
    parts = [data.train_tasks(1, 1, seed=0), data.tasks("validation"), data.tasks("test")]
    seen = []
    for tasks in parts:
        task = tasks.batch(torch.arange(6))
        rows = torch.cat([task.support.x.flatten(0, 1), task.query.x.flatten(0, 1)])
        seen.append({tuple(row) for row in rows.tolist()})
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert not seen[one] & seen[other]


def test_short_training_stretches_have_fewer_rows() -> None:
    task = Toy(opening=40).train_tasks(1, 1, seed=0).batch(torch.arange(40))
    assert sorted(set(task.support.mask.sum(1).tolist())) == [2.0, 4.0]


def test_too_short_parts_are_refused() -> None:
    with pytest.raises(MetarunError, match=r"dataset\.opening has 5"):
        Toy(opening=5).train_tasks(1, 1, seed=0)
    with pytest.raises(MetarunError, match="has 60 rows, of which none is left"):
        Toy(opening=60).found  # noqa: B018


@pytest.mark.parametrize(("drift", "concepts"), [("none", 1), ("abrupt", 10), ("recurring", 3), ("gradual", 10)])
def test_concepts_come_as_the_schedule_says(drift: str, concepts: int) -> None:
    concept, edges = schedule(drift, 1000, 100, 50, 3, np.random.default_rng(0))
    assert len(set(concept.tolist())) == concepts
    assert edges == ([] if drift == "none" else list(range(100, 1000, 100)))
    stretch = concept.reshape(10, 100)
    if drift == "gradual":
        assert 0.2 < (stretch[1:, :50] != stretch[1:, -1:]).mean() < 0.8
        stretch = stretch[:, 50:]
    assert (stretch == stretch[:, :1]).all()
    if drift == "recurring":
        assert stretch[:, 0].tolist() == [i % 3 for i in range(10)]


def test_who_knows_the_concept_has_the_log_loss_that_the_strength_says() -> None:
    rows = generate("none", 20_000, 10, 1, 0, 1, 0.0, seed=3)
    weight = torch.from_numpy(np.random.default_rng([3, 8]).normal(size=(1, 10)))
    out = (rows.x.double() @ (8 * weight / weight.norm()).T)[:, 0]
    loss = torch.nn.functional.binary_cross_entropy_with_logits(out, rows.y.double())
    assert float(loss) == pytest.approx(1.31 / 8, abs=0.01)
