"""The pretraining losses against values computed by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from toys import composed

from metarun import build, config
from metarun.backbones.mf import MatrixFactorisation
from metarun.backbones.mf_features import FeatureFactorisation
from metarun.heads.linear import Linear
from metarun.model import Model, Spec
from metarun.objectives.squared import Squared
from metarun.pretraining.factorisation import Factorisation

SPEC = Spec({"item": 2, "user": 2})
USER, ITEM, RATING = torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]), torch.tensor([3.0, 5.0, 1.0])
CONTEXT = {"features": torch.zeros(3, 0)}


def made(bias: bool, **changes: Any) -> Factorisation:
    """Return a task with two users and two items: p = (1, 2), (0, -1); q = (1, 1), (2, 0)."""
    backbone = MatrixFactorisation(2, bias, spec=SPEC)
    head = Linear(backbone=backbone, spec=SPEC)
    fields = {"epochs": 1, "batch": 3, "lr": 0.1, "l2": 0.0, "bias_l2": 0.0, "drop": 0.0}
    fields |= {"drop_items": 0.0, "loss": "half_sum"}
    task = Factorisation(**{**fields, **changes}, model=Model(backbone, head, Squared()), spec=SPEC)
    with torch.no_grad():
        task.users.weight[:, :2] = torch.tensor([[1.0, 2.0], [0.0, -1.0]])
        backbone.vectors.weight.copy_(torch.tensor([[1.0, 1.0], [2.0, 0.0]]))
        if bias:
            task.users.weight[:, 2] = torch.tensor([0.5, -0.5])
            backbone.item_bias.copy_(torch.tensor([0.25, -0.25]))
    return task


def loss(task: Factorisation, seed: int = 0) -> Tensor:
    return task.loss(USER, {"item": ITEM}, RATING, CONTEXT, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", ["mean", "half_sum"])
def test_what_parts_of_a_batch_add_to_its_loss_is_its_loss(kind: str) -> None:
    values, gradients = [], []
    for parts in ([slice(None)], [slice(0, 2), slice(2, 3), slice(3, 3)]):
        task = made(bias=True, loss=kind, drop=0.5, l2=0.1, bias_l2=0.2)
        value = torch.zeros(())
        for part in parts:
            generator = torch.Generator().manual_seed(1)
            value = value + task.loss(USER, {"item": ITEM}, RATING, CONTEXT, generator, part)
        value.backward()
        values.append(value.detach())
        gradients.append([p.grad for p in task.parameters()])
        assert task.rated.all()
    torch.testing.assert_close(*values)
    torch.testing.assert_close(*gradients)


def test_plain_half_sum_of_squares_by_hand() -> None:
    # p.q = 3, 2, 0 against 3, 5, 1: errors 0, 3, 1
    assert loss(made(bias=False)).item() == 0.5 * (0 + 9 + 1)


def test_gradient_of_the_half_sum_is_the_residual_times_the_other_vector() -> None:
    task = made(bias=False)
    loss(task).backward()
    # dL/dp_0 = sum (p.q - m) q = 0 * q_0 - 3 * q_1;  dL/dq_1 = -3 p_0 - 1 p_1: descent subtracts it
    assert task.users.weight.grad is not None
    assert task.users.weight.grad.tolist() == [[-6.0, 0.0], [-2.0, 0.0]]
    grad = task.model.backbone.vectors.weight.grad
    assert grad is not None
    assert grad.tolist() == [[0.0, 0.0], [-3.0, -5.0]]


def test_biased_mean_with_l2_by_hand() -> None:
    task = made(bias=True, l2=0.1, bias_l2=0.01, loss="mean")
    task.begin(torch.tensor([2.0, 4.0]))
    assert task.model.backbone.mean == 3
    # mean 3 + biases + p.q: 3 + .75 + 3 = 6.75, 3 + .25 + 2 = 5.25, 3 - .75 + 0 = 2.25
    squares = 3.75**2 + 0.25**2 + 1.25**2
    lengths = (5 + 2) + (5 + 4) + (1 + 4)
    biases = (0.25 + 0.0625) * 3
    assert loss(task).item() == pytest.approx((squares + 0.1 * lengths + 0.01 * biases) / 3, rel=1e-6)
    assert loss(made(bias=True, l2=0.1)).item() != loss(made(bias=True)).item()


def test_start_counts_in_the_prediction_and_not_in_the_penalty() -> None:
    task = made(bias=False, l2=1.0)
    before = loss(task).item()
    with torch.no_grad():
        task.model.head.weight += torch.tensor([[1.0], [0.0]])
    # p.q grows by the first entry of q: 4, 4, 2 against 3, 5, 1
    assert loss(task).item() - before == 0.5 * ((1 + 1 + 1) - (0 + 9 + 1))


def test_dropped_users_are_predicted_from_the_start_alone() -> None:
    task = made(bias=False, drop=1.0)
    assert loss(task).item() == 0.5 * (9 + 25 + 1)
    half = made(bias=False, drop=0.5)
    values = {loss(half, seed).item() for seed in range(30)}
    parts = [(0, 9), (9, 25), (1, 1)]
    assert values <= {0.5 * (a + b + c) for a in parts[0] for b in parts[1] for c in parts[2]}
    assert len(values) > 2
    assert loss(half, 3).item() == loss(half, 3).item()


@pytest.mark.parametrize("bias", [False, True])
def test_finish_moves_the_start_to_the_mean_user_and_changes_no_prediction(bias: bool) -> None:
    task = made(bias)
    context = {"features": torch.zeros(2, 0)}
    before, out = task.known(context).clone(), loss(task)
    task.finish(torch.tensor([0, 1]))
    torch.testing.assert_close(loss(task), out)
    torch.testing.assert_close(task.known(context), before)
    torch.testing.assert_close(task.model.head.weight[:, 0], before.mean(0))
    alone = made(bias)
    alone.finish(torch.tensor([1]))
    torch.testing.assert_close(alone.model.head.weight[:, 0], before[1])


@pytest.mark.parametrize("bias", [False, True])
def test_items_nobody_rated_keep_nothing_of_their_random_start(bias: bool) -> None:
    task = made(bias)
    task.loss(USER[:1], {"item": ITEM[:1]}, RATING[:1], {"features": CONTEXT["features"][:1]}, torch.Generator())
    task.finish(torch.tensor([0]))
    assert task.model.backbone.vectors.weight.tolist() == [[1.0, 1.0], [0.0, 0.0]]
    if bias:
        assert task.model.backbone.item_bias.tolist() == [0.25, 0.0]


def test_dropped_items_are_predicted_from_their_content_alone() -> None:
    spec = Spec({"item": 2, "user": 2}, {"item": torch.tensor([[1.0, 0.0], [0.0, 2.0]])})
    backbone = FeatureFactorisation(2, True, 0.5, spec=spec)
    fields = {"epochs": 1, "batch": 3, "lr": 0.1, "l2": 0.0, "bias_l2": 0.0, "drop": 0.0, "loss": "mean"}
    model = Model(backbone, Linear(backbone=backbone, spec=spec), Squared())
    task = Factorisation(**fields, drop_items=1.0, model=model, spec=spec)  # type: ignore[arg-type]
    with torch.no_grad():
        backbone.to_vector.copy_(torch.tensor([[2.0, 0.0], [0.0, 1.0]]))
        backbone.to_bias.copy_(torch.tensor([4.0, 1.0]))
        backbone.item_bias.fill_(9.0)
        task.users.weight[:, :2] = torch.tensor([[1.0, 2.0], [0.0, -1.0]])
    # content: vectors (1, 0) and (0, 1), biases 2 and 1; p.q + bias = 3, 3, 0 against 3, 5, 1
    assert loss(task).item() == pytest.approx((0 + 4 + 1) / 3, rel=1e-6)
    loss(task).backward()
    assert backbone.vectors.weight.grad is not None
    assert not backbone.vectors.weight.grad.any()
    assert made(bias=True, drop_items=0.5).drop_items == 0.0  # nothing is known about items without features


def test_packaged_options_are_the_two_losses() -> None:
    for name, kind, bias in (("matrix_factorisation", "mean", True), ("plain", "half_sum", False)):
        cfg = composed(f"pretrain={name}", f"backbone.bias={str(bias).lower()}")
        model = build.model(cfg, SPEC)
        task = build.pretraining(cfg, model, SPEC)
        assert task.kind == kind
        assert (task.l2, task.bias_l2, task.drop) == (0, 0, 0) or name != "plain"
        assert torch.isfinite(loss(task))
    with pytest.raises(config.MetarunError, match=r"pretrain\.loss=sum"):
        composed("pretrain.loss=sum")


def test_descent_finds_a_product_that_exists() -> None:
    spec = Spec({"item": 12, "user": 15})
    cfg = composed("pretrain=plain", "backbone.bias=false", "backbone.dim=2")
    task = build.pretraining(cfg, build.model(cfg, spec), spec)
    generator = torch.Generator().manual_seed(0)
    users, items = torch.randn(15, 2, generator=generator), torch.randn(12, 2, generator=generator)
    user, item = (part.flatten() for part in torch.meshgrid(torch.arange(15), torch.arange(12), indexing="ij"))
    y, context = (users[user] * items[item]).sum(-1), {"features": torch.zeros(180, 0)}
    optimiser = torch.optim.Adam(task.parameters(), 0.05)
    for _ in range(400):
        optimiser.zero_grad()
        value = task.loss(user, {"item": item}, y, context, generator)
        value.backward()
        optimiser.step()
    assert value.item() < 1e-3
