"""Generated tables: pure in (seed, split, index), whatever batch asks for them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from metarun.data.prior.draws import Draws
from metarun.data.prior.tasks import Limits, PriorTasks
from metarun.datasets.prior import Prior
from metarun.errors import MetarunError


def tasks(classes: int = 6, **changes: int) -> PriorTasks:
    return PriorTasks(Limits(20, 7, 9, classes), changes.pop("seed", 3), "train", 1000, block=8, **changes)


@pytest.mark.parametrize("classes", [0, 6])
def test_a_table_is_the_same_in_any_batch(classes: int) -> None:
    together, alone = tasks(classes).batch(torch.arange(40)), tasks(classes).batch(torch.tensor([19]))
    rows, features = int(together.support.mask[19].sum()), alone.support.x.shape[-1]
    assert torch.equal(together.support.x[19, :rows, :features], alone.support.x[0])
    assert torch.equal(together.support.y[19, :rows], alone.support.y[0])
    assert torch.equal(together.query.x[19, :, :features], alone.query.x[0])
    assert (together.support.x[19, rows:] == 0).all()
    assert (together.support.x[19, :, features:] == 0).all()


def test_seeds_splits_and_tables_differ() -> None:
    first = tasks().batch(torch.tensor([0]))
    for other in (tasks(seed=4), PriorTasks(Limits(20, 7, 9, 6), 3, "test", 1000, block=8)):
        found = other.batch(torch.tensor([0]))
        assert found.support.x.shape != first.support.x.shape or not torch.equal(found.support.x, first.support.x)


def test_a_block_has_one_size_and_sizes_reach_the_limits() -> None:
    sizes = [tasks().size(block) for block in range(400)]
    assert {s[1] for s in sizes} == set(range(1, 10))
    assert {s[2] for s in sizes} == set(range(2, 7))
    assert min(s[0] for s in sizes) == 2
    assert max(s[0] for s in sizes) == 20
    assert (tasks().batch(torch.arange(8)).support.mask == 1).all()


def test_every_class_is_in_the_support_and_comes_first() -> None:
    found = tasks().batch(torch.arange(200))
    assert found.support.x.isfinite().all()
    for t in range(200):
        there = found.context["classes"][t].nonzero()[:, 0]
        rows = found.support.mask[t] > 0
        assert (
            set(found.support.y[t, : len(there)].tolist())
            == set(there.tolist())
            == set(found.support.y[t, rows].tolist())
        )
        assert set(found.query.y[t].tolist()) <= set(there.tolist())


def test_features_are_standardised_and_numbers_too() -> None:
    found = PriorTasks(Limits(60, 40, 5, 0), 0, "train", 64, block=8, rows=60).batch(torch.arange(64))
    rows = torch.cat([found.support.x, found.query.x], 1)
    moving = rows.std(1) > 0
    torch.testing.assert_close(rows.mean(1)[moving], torch.zeros(int(moving.sum())), atol=1e-4, rtol=0)
    labels = torch.cat([found.support.y, found.query.y], 1)
    torch.testing.assert_close(labels.std(1, correction=0), torch.ones(64), atol=1e-3, rtol=0)


def test_draws_are_the_numbers_of_numpy() -> None:
    draws = Draws(5, np.array([2, 9]))
    stream = np.random.Generator(np.random.Philox(key=(5, 9)))
    assert np.array_equal(draws.normal(3, 2)[1], stream.standard_normal(6, np.float32).reshape(3, 2))
    assert np.array_equal(draws.uniform(4)[1], stream.random(4, np.float32))


def dataset(**changes: object) -> Prior:
    fields: dict[str, object] = {
        "target": "classes", "split_seed": 0, "features": 5, "classes": 4, "train_rows": 12, "train_queries": 6,
        "block": 4, "padded": False, "supports": [3, 8], "queries": 10, "test_tasks": 20,
    }  # fmt: skip
    return Prior(**(fields | changes))  # type: ignore[arg-type]


def test_judged_tables_show_every_class_at_every_size() -> None:
    found = dataset().tasks("test").batch(torch.arange(20))
    assert found.support.x.shape[1] == 8
    for t in range(20):
        assert set(found.support.y[t, :3].tolist()) >= set(found.query.y[t].tolist())


def test_more_classes_than_rows_are_refused() -> None:
    with pytest.raises(MetarunError, match=r"dataset.classes=9, dataset.train_rows=4"):
        dataset(classes=9, train_rows=4)


def test_padded_tables_are_as_wide_as_the_widest_and_otherwise_the_same() -> None:
    plain, padded = (dataset(padded=padded).train_tasks(1, 1, 0).batch(torch.arange(4)) for padded in (False, True))
    features, classes = plain.support.x.shape[-1], plain.context["classes"].shape[1]
    assert padded.query.x.shape[-1] == 5
    assert padded.context["classes"].shape[1] == 4
    assert torch.equal(padded.support.x[..., :features], plain.support.x)
    assert (padded.support.x[..., features:] == 0).all()
    assert torch.equal(padded.context["classes"][:, :classes], plain.context["classes"])
