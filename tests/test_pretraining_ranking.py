"""The ranking loss of pretraining against a plain loop over rows."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from toys import composed, draws, shake, spec

from metarun import build
from metarun.errors import MetarunError
from metarun.objectives.squared import Squared
from metarun.pretraining.ranking import Ranking

RANKS = ("objective=ranking", "objective.negatives=3", "evaluate=lists", "dataset.positive=0.5")
USER = torch.tensor([0, 1, 2, 0, 3, 4, 1])
ITEM = torch.tensor([3, 1, 4, 1, 5, 9, 2])
WEIGHT = torch.tensor([1.0, 1.0, 2.0, 1.0, 0.5, 1.0, 1.0])


def made(*overrides: str, **changes: Any) -> Ranking:
    fields = {"epochs": 1, "batch": 7, "lr": 0.1, "l2": 0.0, "bias_l2": 0.0, "drop": 0.0, "share": 1}
    cfg = composed(*RANKS, *overrides)
    task = Ranking(**{**fields, **changes}, model=build.model(cfg, spec()), spec=spec())
    shake(task)
    return task


def loss(task: Ranking, seed: int = 0) -> Tensor:
    return task.loss(USER, {"item": ITEM}, WEIGHT, {"features": torch.zeros(7, 3)}, draws(seed))


@pytest.mark.parametrize("kind", ["bpr", "softmax", "implicit"])
def test_what_parts_of_a_batch_add_to_its_loss_is_its_loss(kind: str) -> None:
    values, gradients, context = [], [], {"features": torch.zeros(7, 3)}
    for parts in ([slice(None)], [slice(0, 2), slice(2, 6), slice(6, 7), slice(7, 7)]):
        torch.manual_seed(0)
        task = made(f"objective.loss={kind}", "backbone.bias=true", share=2, l2=0.1, bias_l2=0.1, drop=0.4)
        value = torch.zeros(())
        for part in parts:
            value = value + task.loss(USER, {"item": ITEM}, WEIGHT, context, draws(3), part)
        value.backward()
        values.append(value.detach())
        gradients.append([p.grad for p in task.parameters()])
    torch.testing.assert_close(*values)
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("share", [1, 2, 7])
@pytest.mark.parametrize("kind", ["bpr", "softmax", "implicit"])
@pytest.mark.parametrize("bias", ["true", "false"])
def test_loss_is_that_of_a_loop_over_rows(share: int, kind: str, bias: str) -> None:
    task = made(f"objective.loss={kind}", f"backbone.bias={bias}", share=share, l2=0.1)
    model, drawn = task.model, torch.randint(30, (-(-7 // share), 3), generator=draws(0))
    weights, terms = task.known({"features": torch.zeros(1, 3)}), []
    own = task.users.weight[:, : model.backbone.vectors.embedding_dim]
    for row in range(7):
        items = torch.cat([ITEM[row : row + 1], drawn[row // share]])
        out = model.head(weights[USER[row]][:, None], model.backbone({"item": items}))
        vector = model.backbone.vectors.weight[ITEM[row]]
        terms.append(model.objective.rows(out[None], WEIGHT[row : row + 1])[0])
        terms[-1] = terms[-1] + 0.1 * (own[USER[row]].square().sum() + vector.square().sum())
    others = model.backbone.vectors.weight[drawn].square().sum(-1).mean()
    torch.testing.assert_close(loss(task), torch.stack(terms).mean() + 0.1 * others)


def test_dropped_users_are_ranked_from_the_start_alone() -> None:
    task = made(drop=1.0)
    before = loss(task)
    nn.init.normal_(task.users.weight)
    torch.testing.assert_close(loss(task), before)
    half = made(drop=0.5)
    assert loss(half, 3) == loss(half, 3) != loss(half, 4)


def test_side_information_is_part_of_the_vectors() -> None:
    task = made("backbone=mf_features")
    loss(task).backward()
    assert task.model.backbone.to_vector.grad.abs().sum() > 0


@pytest.mark.parametrize("kind", ["bpr", "softmax", "implicit"])
def test_descent_finds_who_likes_what(kind: str) -> None:
    task = made(f"objective.loss={kind}", "objective.negatives=10", share=2)
    user, item = torch.meshgrid(torch.arange(12), torch.arange(30), indexing="ij")
    user, item = (part[user % 3 == item % 3] for part in (user, item))
    optimiser, generator = torch.optim.Adam(task.parameters(), 0.05), draws(1)
    for _ in range(150):
        optimiser.zero_grad()
        context = {"features": torch.zeros(len(user), 3)}
        task.loss(user, {"item": item}, torch.ones(len(user)), context, generator).backward()
        optimiser.step()
    with torch.no_grad():
        out = task.known(context)[:12, :4] @ task.model.backbone.vectors.weight.T
        out = out + task.model.backbone.offset(torch.arange(30))
    best = out.topk(10).indices % 3
    assert torch.equal(best, (torch.arange(12) % 3)[:, None].expand(-1, 10))


def test_each_loss_has_an_l2_of_its_own_unless_told() -> None:
    assert made("objective.loss=bpr", l2=None).l2 == 0.004
    assert made("objective.loss=softmax", l2=None).l2 == 0.02
    assert made("objective.loss=bpr", l2=0.0).l2 == 0.0


def test_finish_changes_no_prediction() -> None:
    task, context = made(), {"features": torch.zeros(1, 3)}
    before = task.known(context).clone()
    task.finish(torch.tensor([0, 1]))
    torch.testing.assert_close(task.known(context), before)
    torch.testing.assert_close(task.users.weight[:2].mean(0), torch.zeros(5), atol=1e-6, rtol=0)


def test_an_objective_of_ratings_is_refused() -> None:
    model = build.model(composed(*RANKS), spec())
    model.objective = Squared()
    with pytest.raises(MetarunError, match="Squared is no objective for that: use objective=ranking"):
        Ranking(1, 7, 0.1, 0.0, 0.0, 0.0, 1, model=model, spec=spec())
