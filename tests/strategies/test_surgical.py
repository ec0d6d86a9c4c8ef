"""Which layers move after an alarm, by a plain loop in float64 that knows the network's two layers by heart."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from metarun.backbones.mlp import MLP
from metarun.backbones.plain import Plain
from metarun.events import DRIFT
from metarun.heads.linear import Linear
from metarun.model import Model, Spec
from metarun.objectives.cross_entropy import CrossEntropy
from metarun.rule import Batch
from metarun.strategies.adaptive.surgical import Surgical
from metarun.strategies.gradient import Gradient
from metarun.strategies.rates import HEAD

FEATURES, CLASSES, RATE, ROWS = 4, 3, 0.2, 120
LAYERS = [[HEAD], ["layers.1.weight", "layers.1.bias"], ["layers.0.weight", "layers.0.bias"]]
Theta = dict[str, Tensor]


@pytest.fixture(autouse=True)
def exact() -> Any:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def model(hidden: bool = True) -> Model:
    torch.manual_seed(0)
    spec = Spec(shape=(FEATURES,), outputs=CLASSES, classes=CLASSES)
    backbone = MLP([6, 5], "none", spec=spec) if hidden else Plain(spec=spec)
    made = Model(backbone, Linear(backbone=backbone, spec=spec), CrossEntropy(), spec)
    torch.nn.init.normal_(made.head.weight, std=0.5)
    return made


def rule(hidden: bool = True, **changes: Any) -> Surgical:
    fields = {"keep": 1, "probe": 8, "span": None, "inner_lr": RATE, "moves": "all"} | changes
    return Surgical(model=model(hidden), **fields)


def rows() -> tuple[Tensor, Tensor, Tensor]:
    """Return inputs, labels, and which of them come."""
    draws = torch.Generator().manual_seed(1)
    x = torch.randn(ROWS, FEATURES, generator=draws)
    known = (torch.rand(ROWS, generator=draws) < 0.8).double()
    return x, (x @ torch.randn(FEATURES, CLASSES, generator=draws)).argmax(1), known


def follow(made: Gradient, alarms: list[int], chunk: int = 1) -> list[Any]:
    x, y, known = rows()
    hidden, states = torch.where(known > 0, y, -1), [made.init({})]
    with torch.no_grad():
        for first in range(0, ROWS, chunk):
            part = slice(first, first + chunk)
            event = torch.tensor(DRIFT if set(alarms) & set(range(first, first + chunk)) else 0)
            states.append(made.update(states[-1], Batch(x[part], hidden[part], torch.ones(chunk), known[part], event)))
    return states


def gradient(theta: Theta, x: Tensor, y: Tensor) -> Theta:
    """Return the gradient of the mean loss of a network of two hidden layers."""
    leaves = {name: value.detach().requires_grad_() for name, value in theta.items()}
    inner = torch.relu(x @ leaves["layers.0.weight"].T + leaves["layers.0.bias"])
    inner = torch.relu(inner @ leaves["layers.1.weight"].T + leaves["layers.1.bias"])
    out = torch.cat([inner, torch.ones(len(x), 1)], 1) @ leaves[HEAD]
    loss = torch.nn.functional.cross_entropy(out, y)
    return dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))


def chosen(theta: Theta, x: Tensor, y: Tensor, keep: int) -> list[int]:
    slope, found = gradient(theta, x, y), []
    for names in LAYERS:
        pull, length = (torch.cat([part[name].flatten() for name in names]).norm() for part in (slope, theta))
        found.append(float(pull / length))
    return sorted(range(3), key=lambda layer: -found[layer])[:keep]


@pytest.mark.parametrize("chunk", [1, 4])
@pytest.mark.parametrize(("keep", "span"), [(1, None), (2, None), (1, 12)])
def test_only_the_layers_that_the_rows_behind_an_alarm_pull_at_move(keep: int, span: int | None, chunk: int) -> None:
    made, alarms = rule(keep=keep, span=span), [20, 60]
    x, y, known = rows()
    theta = {HEAD: made.model.head.weight.detach(), **dict(made.model.backbone.named_parameters())}
    states, moving, held, seen, since, picks = follow(made, alarms, chunk), [0, 1, 2], theta, None, 0, []
    for first in range(0, ROWS, chunk):
        labelled = [row for row in range(first, first + chunk) if known[row] > 0]
        if set(alarms) & set(range(first, first + chunk)):
            held, seen = theta, []
        if labelled:
            slope = gradient(theta, x[labelled], y[labelled])
            names = [name for layer in moving for name in LAYERS[layer]]
            theta = theta | {name: theta[name].detach() - RATE * slope[name] for name in names}
        if seen is not None:
            seen += labelled
            if len(seen) >= 8:
                moving, seen, since = chosen(held, x[seen], y[seen], keep), None, 0
                picks.append(moving)
        elif span is not None:
            since += len(labelled)
            moving = [0, 1, 2] if since >= span else moving
        state = states[first // chunk + 1]
        assert torch.nonzero(state["open"])[:, 0].tolist() == sorted(moving), first
        for name, value in theta.items():
            torch.testing.assert_close(state["theta"][name], value)
    assert len(picks) == 2 == int(states[-1]["chosen"])


def test_without_an_alarm_it_is_the_gradient_rule() -> None:
    found, expected = (follow(made, [])[-1] for made in (rule(), Gradient(model=model(), moves="all", inner_lr=RATE)))
    torch.testing.assert_close(found["theta"], expected["theta"])


def test_without_layers_there_is_the_head() -> None:
    found = follow(rule(hidden=False), [20])[-1]
    expected = follow(Gradient(model=model(hidden=False), moves="all", inner_lr=RATE), [20])[-1]
    torch.testing.assert_close(found["theta"][HEAD], expected["theta"][HEAD])
    assert int(found["chosen"]) == 1


def test_what_is_told_names_the_layers_from_the_inputs_on() -> None:
    made = rule(keep=2)
    assert made.names == ["head", "layer 2", "layer 1"]
    told = made.told(follow(made, [20])[-1])
    assert sorted(told["trust"].tolist()) == [0.0, 0.5, 0.5]
    assert bool((told["norms"] > 0).all())
