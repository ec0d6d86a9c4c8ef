"""Popularity, EASE and the fold-in of implicit ALS against dense computations."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from toys import ITEMS, RANKS, model, rule, tasks

from metarun.errors import MetarunError
from metarun.model import Model
from metarun.rule import Batch, Task
from metarun.strategies.baseline.ease import Ease
from metarun.strategies.baseline.popularity import Popularity
from metarun.strategies.transfer.ridge import Ridge
from metarun.tasks import answers, over_tasks


def table(batch: Batch) -> torch.Tensor:
    """Weights of a batch's interactions (T, ITEMS)."""
    found = torch.zeros(len(batch.y), ITEMS, dtype=torch.float64)
    for t, row in (batch.known > 0).nonzero().tolist():
        found[t, batch.x["item"][t, row]] += batch.y[t, row]
    return found


def training(seed: int) -> Task:
    return tasks(20, seed=seed, others=2)


def ranking_model() -> Model:
    return model(*RANKS)


def scores(made: Any, task: Task) -> torch.Tensor:
    """Scores of the whole catalogue (T, ITEMS)."""
    everything = made.model.catalogue()
    with torch.no_grad():
        return over_tasks(lambda one: made.predict(made.adapt(one), everything)[..., 0])(task)


def test_popularity_is_a_count_of_all_batches_whatever_the_support() -> None:
    made = Popularity(model=ranking_model()).double()
    made.prepare(iter([training(1), training(2)]))
    expected = table(training(1).support).sum(0) + table(training(2).support).sum(0)
    torch.testing.assert_close(scores(made, tasks(3)), expected.expand(3, -1))


@pytest.mark.parametrize("l2", [0.5, 20.0])
def test_ease_is_a_ridge_regression_of_each_item_on_all_others(l2: float) -> None:
    made = Ease(model=ranking_model(), l2=1.0, memory_gb=1.0).double()
    made.prepare(iter([training(1), training(2)]))
    X = torch.cat([table(training(1).support), table(training(2).support)])
    expected = torch.zeros(ITEMS, ITEMS, dtype=torch.float64)
    for item in range(ITEMS):
        rest = torch.arange(ITEMS) != item
        A = X[:, rest].T @ X[:, rest] + l2 * torch.eye(ITEMS - 1, dtype=torch.float64)
        expected[rest, item] = torch.linalg.solve(A, X[:, rest].T @ X[:, item])
    asked = tasks(5, others=2)
    with made.set({"l2": l2}):
        torch.testing.assert_close(scores(made, asked), table(asked.support) @ expected)


def test_ease_keeps_no_more_matrices_than_fit() -> None:
    made = Ease(model=ranking_model(), l2=1.0, memory_gb=1.0).double()
    made.prepare(iter([training(1)]))
    assert 0 < len(made.chosen) < ITEMS, "items that nobody has take no room"
    made.memory_gb = 4.5 * 4 * len(made.chosen) ** 2 / 1e9
    for l2 in (1.0, 2.0, 3.0, 1.0):
        with made.set({"l2": l2}):
            made.init({})
            made.weights()
    assert list(made.kept) == [3.0, 1.0]


def test_ease_refuses_what_does_not_fit_with_the_number() -> None:
    big = ranking_model()
    big.backbone.vectors = torch.nn.Embedding(20_000, 4)
    with pytest.raises(MetarunError, match=r"4\.8 GB for 20,000 x 20,000 items, and its memory_gb is 4:"):
        Ease(model=big, l2=1.0, memory_gb=4.0)


def test_fold_in_is_half_a_sweep() -> None:
    made = Ridge(
        model=model(*RANKS, "backbone.bias=false"), penalty=2.0, bias_penalty=1.0, towards="zero", unobserved=0.1
    ).double()
    made.prepare(iter([]))
    V, asked = made.model.backbone.vectors.weight.detach(), tasks(4, others=2)
    expected = []
    for weight in table(asked.support):
        confidence = torch.where(weight > 0, weight, 0.1)
        A = (V.T * confidence) @ V + 2.0 * torch.eye(4, dtype=torch.float64)
        expected.append(V @ torch.linalg.solve(A, V.T @ weight))
    everything = made.model.features(made.model.catalogue()).detach()
    seen = asked._replace(support=asked.support._replace(x=made.model.features(asked.support.x)))
    with torch.no_grad():
        found = over_tasks(lambda one: made.predict(made.adapt(one), everything)[..., 0])(seen)
    torch.testing.assert_close(found, torch.stack(expected))


@pytest.mark.parametrize("method", ["baseline/popularity", "baseline/ease"])
def test_rows_with_others_get_a_score_for_each(method: str) -> None:
    made, asked = rule(method, None, *RANKS), tasks(3, others=2)
    with torch.no_grad():
        out = answers(made, asked, True)
    assert out.shape == (3, 4, 3, 1)
    whole = scores(made, asked)
    torch.testing.assert_close(out[..., 0, 0], whole.gather(1, asked.query.x["item"]))
    torch.testing.assert_close(out[..., 1:, 0].flatten(1), whole.gather(1, asked.query.x["others"].flatten(1)))
