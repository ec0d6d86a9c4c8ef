"""The ranking objective: values by hand, residuals against autograd, and what negatives are."""

from __future__ import annotations

import math

import pytest
import torch
from torch.func import grad, vmap
from toys import Toy, ratings

from metarun.objectives.ranking import Ranking

OUT = torch.tensor([[[1.0], [0.0], [2.0]]], dtype=torch.float64)
BY_HAND = {
    "bpr": (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(1))) / 2,
    "softmax": math.log(math.exp(1) + 1 + math.exp(2)) - 1,
    "implicit": 0.1 * 4,
}


@pytest.mark.parametrize("loss", BY_HAND)
def test_rows_by_hand_and_weighted(loss: str) -> None:
    objective = Ranking(loss, 2, 0.1)
    assert objective.rows(OUT, torch.ones(1)).item() == pytest.approx(BY_HAND[loss])
    assert objective.rows(OUT, torch.full((1,), 3.0)).item() == pytest.approx(3 * BY_HAND[loss])


@pytest.mark.parametrize("loss", BY_HAND)
def test_residuals_are_derivatives(loss: str) -> None:
    objective = Ranking(loss, 4, 0.2)
    out = torch.randn(6, 5, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = torch.arange(1.0, 7.0, dtype=torch.float64)
    by_autograd = vmap(grad(lambda o, w: objective.rows(o[None], w[None])[0]))(out, y)
    torch.testing.assert_close(objective.residual(out, y), by_autograd)


def test_negatives_follow_from_the_task_alone() -> None:
    data = Toy(ratings(users=60, least=20), negatives=7, positive=3.0, split_seed=1)
    tasks = data.train_tasks(1, 1, seed=5)
    one, many = tasks.batch(torch.tensor([3])), tasks.batch(torch.arange(6))
    assert one.support.x["others"].shape == (1, 5, 7)
    torch.testing.assert_close(one.support.x["others"][0], many.support.x["others"][3])
    drawn = tasks.batch(torch.arange(300)).query.x["others"]
    assert drawn.min() == 0
    assert drawn.max() == 199
    assert torch.bincount(drawn.flatten(), minlength=200).float().std() < 0.2 * drawn.numel() / 200
    other = data.train_tasks(1, 1, seed=6).batch(torch.tensor([3]))
    assert not torch.equal(one.support.x["others"], other.support.x["others"])
