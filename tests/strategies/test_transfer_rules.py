"""Linear probes, gradual unfreezing, low-rank adaptation and L2-SP, in float64: plain loops over one task's weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from array_toys import CLASSES, FEATURES, rule
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.functional import conv2d, cross_entropy, max_pool2d, relu
from toys import shake

from metarun.backbones.cnn_small import SmallCNN
from metarun.backbones.conv4 import Conv4
from metarun.backbones.mlp import MLP
from metarun.errors import MetarunError
from metarun.heads.linear import Linear
from metarun.model import Model, Spec
from metarun.objectives.cross_entropy import CrossEntropy
from metarun.rule import Batch
from metarun.strategies.depth import depths
from metarun.strategies.rates import HEAD
from metarun.strategies.transfer.lora import IN, OUT, LoRA
from metarun.strategies.transfer.unfreeze import Unfreeze

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
    grouped = depths(SmallCNN(8, 8, "group", spec=Spec(shape=(1, 8, 8), outputs=5)))
    assert {name.split(".")[0]: depth for name, depth in grouped.items()} == {
        "conv": 2, "conv_norm": 2, "dense": 1, "dense_norm": 1,
    }  # fmt: skip
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


def deep(backbone: Callable[..., Any], spec: Spec) -> Model:
    """Return a shaken model in float64 around a backbone."""
    made = backbone(spec=spec)
    found = Model(made, Linear(backbone=made, spec=spec), CrossEntropy(), spec).double()
    shake(found)
    return found


def test_of_three_layers_the_lowest_moves_last_and_least(batch: Batch) -> None:
    model = deep(lambda spec: MLP([4, 5, 3], "none", spec=spec), Spec(shape=(FEATURES,), outputs=CLASSES))
    made: Any = Unfreeze(model=model, moves="all", steps=8, inner_lr=0.2, divisor=3.0).double()
    with torch.no_grad():
        start = made.init({})
        path = [state["theta"] for state in made.path(start, batch)]
    free_from = {"layers.2": (2, 1 / 3), "layers.1": (4, 1 / 9), "layers.0": (6, 1 / 27), HEAD: (0, 1.0)}

    def change(name: str, step: int, weight: Tensor, gradient: Tensor) -> Tensor:
        first, factor = free_from[name if name == HEAD else name.rpartition(".")[0]]
        return weight - 0.2 * factor * gradient if step >= first else weight

    for steps, found in enumerate(path, 1):
        expected = walked(start["theta"], plain(made, batch), steps, change)
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value)
    assert torch.equal(path[5]["layers.0.weight"], start["theta"]["layers.0.weight"])
    assert not torch.equal(path[6]["layers.0.weight"], start["theta"]["layers.0.weight"])


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


def test_low_rank_factors_of_convolutions_many_tasks_at_once() -> None:
    model = deep(lambda spec: SmallCNN(3, 4, "none", spec=spec), Spec(shape=(2, 6, 6), outputs=CLASSES))
    made = LoRA(model=model, rank=2, alpha=5.0, steps=3, inner_lr=0.3).double()
    draws, tasks, rows = torch.Generator().manual_seed(1), 3, 7
    x = torch.randn(tasks, rows, 2, 6, 6, generator=draws, dtype=torch.float64)
    y = torch.randint(CLASSES, (tasks, rows), generator=draws)
    one = torch.ones(tasks, rows).double()
    with torch.no_grad():
        start = made.init({})
        many = Batch(x, y, one, one, torch.zeros(tasks))
        found = vmap(lambda part: made.update(start, part)["theta"])(many)
    own = {name: value.detach() for name, value in model.backbone.named_parameters()}

    def added(theta: Tensors, name: str) -> Tensor:
        """Return a weight with 5 / 2 of the outer products of its columns and rows added, one by one."""
        total = own[name]
        for column, row in zip(theta[name + OUT].unbind(1), theta[name + IN].unbind(0), strict=True):
            total = total + 2.5 * torch.outer(column, row).reshape(total.shape)
        return total

    for task in range(tasks):

        def loss(theta: Tensors, task: int = task) -> Tensor:
            maps = max_pool2d(relu(conv2d(x[task], added(theta, "conv.weight"), own["conv.bias"])), 2)
            hidden = relu(maps.flatten(1) @ added(theta, "dense.weight").mT + own["dense.bias"])
            return cross_entropy(torch.cat([hidden, hidden.new_ones(rows, 1)], 1) @ theta[HEAD], y[task])

        expected = walked(start["theta"], loss, 3, lambda name, step, weight, gradient: weight - 0.3 * gradient)
        assert (
            set(found) == set(expected) == {HEAD, *(w + f for w in ("conv.weight", "dense.weight") for f in (OUT, IN))}
        )
        for name, value in expected.items():
            torch.testing.assert_close(found[name][task], value)
            assert not torch.equal(value, start["theta"][name])


def test_validation_chooses_alpha_but_not_the_rank(batch: Batch) -> None:
    made: Any = rule("transfer/lora", changes={"steps": 3, "rank": 2, "alpha": 1.0})
    other: Any = rule("transfer/lora", changes={"steps": 3, "rank": 2, "alpha": 6.0})
    with torch.no_grad(), made.set({"alpha": 6.0}):
        found, expected = (one.update(one.init({}), batch)["theta"] for one in (made, other))
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)
    with pytest.raises(MetarunError, match=r"tune\.rank=\[2, 4\].*metarun -m strategy\.transfer\.rank=2,4,8"):
        rule("transfer/lora", changes={"tune": {"rank": [2, 4]}})
