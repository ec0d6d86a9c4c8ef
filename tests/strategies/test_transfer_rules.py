"""Linear probes, gradual unfreezing, low-rank adaptation and L2-SP, in float64: plain loops over one task's weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from array_toys import CLASSES, FEATURES, rule
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from metarun.backbones.conv4 import Conv4
from metarun.model import Spec
from metarun.rule import Batch
from metarun.strategies.depth import depths
from metarun.strategies.rates import HEAD
from metarun.strategies.transfer.lora import IN, OUT

Tensors = dict[str, Tensor]


@pytest.fixture
def batch() -> Batch:
    draws = torch.Generator().manual_seed(3)
    x = torch.randn(9, FEATURES, generator=draws, dtype=torch.float64)
    y = torch.randint(CLASSES, (9,), generator=draws)
    return Batch(x, y, torch.ones(9).double(), torch.ones(9).double(), torch.tensor(0))


def walked(
    theta: Tensors, loss: Callable[[Tensors], Tensor], steps: int, change: Callable[[str, int, Tensor, Tensor], Tensor]
) -> Tensors:
    """Return weights after plain steps; change(name, step, weight, gradient): the new weight."""
    for step in range(steps):
        free = {name: value.detach().clone().requires_grad_() for name, value in theta.items()}
        found = torch.autograd.grad(loss(free), list(free.values()))
        theta = {name: change(name, step, free[name].detach(), g) for name, g in zip(free, found, strict=True)}
    return theta


def plain(made: Any, batch: Batch) -> Callable[[Tensors], Tensor]:
    """Return the mean loss of a whole set of weights."""

    def loss(theta: Tensors) -> Tensor:
        backbone = {name: value for name, value in theta.items() if name != HEAD}
        return cross_entropy(functional_call(made.model.backbone, backbone, (batch.x,)) @ theta[HEAD], batch.y)

    return loss


@pytest.mark.parametrize("begins", ["pretrained", "fresh"])
def test_a_probe_moves_the_head_from_where_it_is_told_to(begins: str, batch: Batch) -> None:
    made: Any = rule("transfer/probe", changes={"steps": 6, "inner_lr": 0.4, "begins": begins})
    head = made.model.head.weight.detach()
    assert head.abs().min() > 0
    features = made.model.features(batch.x).detach()
    with torch.no_grad():
        found = made.update(made.init({}), batch._replace(x=features))["theta"]
    first = {HEAD: head if begins == "pretrained" else torch.zeros_like(head)}

    def loss(theta: Tensors) -> Tensor:
        return cross_entropy(features @ theta[HEAD], batch.y)

    expected = walked(first, loss, 6, lambda name, step, weight, gradient: weight - 0.4 * gradient)
    assert set(found) == {HEAD}
    torch.testing.assert_close(found[HEAD], expected[HEAD])


def test_layers_are_counted_from_the_head() -> None:
    found = depths(Conv4(8, "pool", "group", spec=Spec(shape=(1, 28, 28), outputs=5)))
    assert {name.split(".")[1]: depth for name, depth in found.items()} == {"0": 4, "1": 3, "2": 2, "3": 1}
    small = nn.ModuleDict({"conv": nn.Conv2d(1, 2, 3), "dense": nn.Linear(2, 2)})
    assert {name: depth for name, depth in depths(small).items() if "bias" in name} == {"conv.bias": 2, "dense.bias": 1}


def test_layers_move_one_after_another_and_ever_more_slowly(batch: Batch) -> None:
    made: Any = rule("transfer/unfreeze", changes={"steps": 5, "inner_lr": 0.3, "divisor": 2.0})
    with torch.no_grad():
        start = made.init({})
        found = made.update(start, batch)["theta"]
    free_from = {HEAD: 0, "layers.0.weight": 3, "layers.0.bias": 3}  # depth 1 of one layer: step * 2 // 5 >= 1
    factor = {HEAD: 1.0, "layers.0.weight": 0.5, "layers.0.bias": 0.5}

    def change(name: str, step: int, weight: Tensor, gradient: Tensor) -> Tensor:
        return weight - 0.3 * factor[name] * gradient if step >= free_from[name] else weight

    expected = walked(start["theta"], plain(made, batch), 5, change)
    assert set(found) == set(free_from)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)


def test_low_rank_factors_are_what_moves(batch: Batch) -> None:
    made: Any = rule("transfer/lora", changes={"steps": 3, "inner_lr": 0.2, "rank": 2, "alpha": 3.0})
    base = dict(made.model.backbone.named_parameters())
    with torch.no_grad():
        start = made.init({})
        state = made.update(start, batch)

    def loss(theta: Tensors) -> Tensor:
        weight = base["layers.0.weight"].detach() + 1.5 * theta["layers.0.weight" + OUT] @ theta["layers.0.weight" + IN]
        hidden = torch.relu(batch.x @ weight.mT + base["layers.0.bias"].detach())
        return cross_entropy(torch.cat([hidden, hidden.new_ones(len(hidden), 1)], 1) @ theta[HEAD], batch.y)

    expected = walked(start["theta"], loss, 3, lambda name, step, weight, gradient: weight - 0.2 * gradient)
    for name, value in expected.items():
        torch.testing.assert_close(state["theta"][name], value)
    untouched = made.model.features(batch.x) @ made.model.head.weight  # it begins where pretraining ended
    torch.testing.assert_close(made.predict(start, batch.x), untouched)
    whole = made.commit(state)
    after = {name.removeprefix("backbone."): value for name, value in whole.items() if name != "head.weight"}
    features = functional_call(made.model.backbone, after, (batch.x,))
    torch.testing.assert_close(features @ whole["head.weight"], made.predict(state, batch.x))


def test_the_pull_to_the_start_is_that_of_its_penalty(batch: Batch) -> None:
    made: Any = rule("transfer/l2sp", changes={"steps": 4, "inner_lr": 0.1, "anchor": 0.5})
    with torch.no_grad():
        start = made.init({})
        found = made.update(start, batch)["theta"]
    mean = plain(made, batch)

    def loss(theta: Tensors) -> Tensor:
        return mean(theta) + 0.5 * sum((theta[n] - start["theta"][n].detach()).square().sum() for n in theta)

    expected = walked(start["theta"], loss, 4, lambda name, step, weight, gradient: weight - 0.1 * gradient)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)
