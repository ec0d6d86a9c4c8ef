"""Rules for tasks one after another, against plain computations in float64."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from metarun.backbones.mlp import MLP
from metarun.errors import MetarunError
from metarun.heads.linear import Linear
from metarun.model import Model, Spec
from metarun.objectives.cross_entropy import CrossEntropy
from metarun.objectives.squared import Squared
from metarun.rule import Batch
from metarun.strategies import memory
from metarun.strategies.gradient import Gradient
from metarun.strategies.online.ewc import EWC
from metarun.strategies.online.replay import Replay
from metarun.strategies.online.reset import Reset
from metarun.strategies.online.rls import RecursiveLeastSquares
from metarun.strategies.online.slda import StreamingLDA
from metarun.strategies.online.window import Window

FEATURES, CLASSES = 4, 3


@pytest.fixture(autouse=True)
def exact() -> Any:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def model(classes: int = CLASSES) -> Model:
    torch.manual_seed(0)
    spec = Spec(shape=(FEATURES,), outputs=classes or 1, classes=classes)
    backbone = MLP([5], "none", spec=spec)
    return Model(backbone, Linear(backbone=backbone, spec=spec), CrossEntropy() if classes else Squared(), spec)


def rows(number: int, seed: int, classes: int = CLASSES, event: int = 0) -> Batch:
    draws = torch.Generator().manual_seed(seed)
    x = torch.randn(number, FEATURES, generator=draws)
    y = torch.randint(classes, (number,), generator=draws) if classes else torch.randn(number, generator=draws)
    return Batch(x, y, torch.ones(number), torch.ones(number), torch.tensor(event))


def loss_of(rule: Any, theta: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
    backbone = {name: value for name, value in theta.items() if name in dict(rule.model.backbone.named_parameters())}
    features = functional_call(rule.model.backbone, backbone, (x,))
    head = next(value for name, value in theta.items() if name not in backbone)
    return torch.nn.functional.cross_entropy(features @ head, y)


def gradients(value: Tensor, theta: dict[str, Tensor]) -> dict[str, Tensor]:
    return dict(zip(theta, torch.autograd.grad(value, list(theta.values())), strict=True))


def free(theta: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().clone().requires_grad_() for name, value in theta.items()}


@pytest.mark.parametrize(("again", "answers"), [(1.0, 0.0), (0.5, 0.2)])
def test_a_replay_step_is_that_of_the_chunk_and_of_what_was_drawn(again: float, answers: float) -> None:
    rule = Replay(
        model=model(),
        moves="all",
        inner_lr=0.1,
        size=6,
        replayed=4,
        again=again,
        answers=answers,
        balanced=False,
    )
    with torch.no_grad():
        state = rule.update(rule.init({"seed": torch.tensor(5)}), rows(5, 0))
        theta, batch = free(state["theta"]), rows(3, 1)
        kept = {name: leaf.clone() for name, leaf in state["memory"].items()}
        draws = memory.generator(5, 5)
        once, twice = (memory.draw(kept, 4, draws) for _ in range(2))
        found = rule.update(state, batch)["theta"]
    assert once is not None
    assert twice is not None
    value = loss_of(rule, theta, batch.x, batch.y) + again * loss_of(rule, theta, once["x"], once["y"])
    if answers:
        backbone = {name: leaf for name, leaf in theta.items() if name in dict(rule.model.backbone.named_parameters())}
        head = next(leaf for name, leaf in theta.items() if name not in backbone)
        out = functional_call(rule.model.backbone, backbone, (twice["x"],)) @ head
        value = value + answers * (out - twice["out"]).square().mean()
    for name, gradient in gradients(value, theta).items():
        torch.testing.assert_close(found[name], (theta[name] - 0.1 * gradient).detach())


def test_a_reservoir_keeps_every_row_with_the_same_chance() -> None:
    counts = np.zeros(40)
    for seed in range(600):
        kept = memory.empty({"y": ((), torch.int64)}, 8, 1)
        y = torch.arange(40)
        kept = memory.keep(kept, {"y": y}, torch.zeros(40, dtype=torch.int64), False, memory.generator(seed))
        counts[kept["y"].numpy()] += 1
    share = counts / 600
    assert abs(share - 0.2).max() < 4.5 * np.sqrt(0.2 * 0.8 / 600)
    assert abs(share[:20].mean() - share[20:].mean()) < 0.02


def test_a_balanced_memory_has_every_class_alike_however_rare() -> None:
    label = torch.cat([torch.zeros(200), torch.ones(10), torch.full((100,), 2)]).long()
    kept = memory.empty({"y": ((), torch.int64)}, 30, 3)
    kept = memory.keep(kept, {"y": label}, label, True, memory.generator(0))
    assert torch.bincount(kept["y"], minlength=3).tolist() == [10, 10, 10]


def test_the_fisher_is_the_mean_of_squared_gradients_of_single_rows() -> None:
    rule = EWC(model=model(), moves="all", inner_lr=0.1, strength=3.0, fisher_rows=6, decay=0.5)
    with torch.no_grad():
        before = rule.update(rule.init({}), rows(8, 0))
        found = rule.tied(before)
    theta, x, y = free(before["theta"]), *(rows(8, 0)[i][2:] for i in (0, 1))
    each = [gradients(loss_of(rule, theta, x[i : i + 1], y[i : i + 1]), theta) for i in range(6)]
    for name in theta:
        torch.testing.assert_close(found["fisher"][name], torch.stack([g[name].square() for g in each]).mean(0))
        assert torch.equal(found["anchor"][name], before["theta"][name])
    whole = gradients(loss_of(rule, theta, x, y), theta)
    assert any(not torch.allclose(found["fisher"][n], whole[n].square(), rtol=0.05) for n in theta)


def test_a_step_behind_a_boundary_is_pulled_back() -> None:
    rule = EWC(model=model(), moves="all", inner_lr=0.1, strength=3.0, fisher_rows=6, decay=0.5)
    with torch.no_grad():
        before = rule.update(rule.init({}), rows(8, 0))
        batch = rows(4, 1, event=3)
        after = rule.update(before, batch)
    theta = free(before["theta"])
    for name, gradient in gradients(loss_of(rule, theta, batch.x, batch.y), theta).items():
        strength = 0.1 * 3.0 * after["fisher"][name]
        moved = (theta[name] - 0.1 * gradient).detach()
        torch.testing.assert_close(after["theta"][name], (moved + strength * before["theta"][name]) / (1 + strength))
    assert int(after["last"]["rows"]) == 4, "the Fisher of the next task is of its own rows"


@pytest.mark.parametrize("classes", [0, CLASSES])
def test_recursive_least_squares_is_the_ridge_solution_of_all_rows(classes: int) -> None:
    made = model(classes)
    rule = RecursiveLeastSquares(model=made, penalty=0.3, forgetting=0.0)
    state, seen = rule.init({}), []
    with torch.no_grad():
        for seed in range(4):
            batch = rows(6, seed, classes)
            batch = batch._replace(x=made.features(batch.x), known=(torch.arange(6) != seed).double())
            state = rule.update(state, batch)
            keep = batch.known > 0
            seen.append((batch.x[keep], batch.y[keep]))
    x, y = (torch.cat(part) for part in zip(*seen, strict=True))
    targets = torch.nn.functional.one_hot(y, classes).double() if classes else y[:, None]
    expected = torch.linalg.solve(x.mT @ x + 0.3 * torch.eye(x.shape[1]), x.mT @ targets)
    torch.testing.assert_close(state["weight"], expected)


def test_streaming_lda_is_lda_of_all_rows_whatever_the_chunk() -> None:
    made = model()
    batch = rows(40, 0)
    x = made.features(batch.x).detach()
    batch = batch._replace(x=x)
    states = []
    for size in (1, 7, 40):
        rule = StreamingLDA(model=made, shrink=0.1, refresh=100)
        state = rule.init({})
        for first in range(0, 40, size):
            part = slice(first, first + size)
            ones = torch.ones(len(x[part]))
            state = rule.update(state, Batch(x[part], batch.y[part], ones, ones, torch.tensor(0)))
        states.append(state)
    mean = torch.stack([x[batch.y == kind].mean(0) for kind in range(CLASSES)])
    centred = x - mean[batch.y]
    covariance = centred.mT @ centred / 40
    even = torch.eye(len(covariance)) * (covariance.trace() / len(covariance) + 1e-6)
    weight = torch.linalg.solve(0.9 * covariance + 0.1 * even, mean.mT)
    for state in states:
        torch.testing.assert_close(state["mean"], mean)
        torch.testing.assert_close(state["weight"], weight)
        torch.testing.assert_close(state["bias"], -0.5 * (mean.mT * weight).sum(0))


def test_lda_of_numbers_is_refused() -> None:
    with pytest.raises(MetarunError, match="online/rls"):
        StreamingLDA(model=model(0), shrink=0.1, refresh=10)


def test_a_window_is_what_a_fresh_fit_on_its_rows_alone_is_and_nothing_between_two_trainings() -> None:
    fields: dict[str, Any] = {"model": model(), "inner_lr": 0.3, "steps": 7}
    rule, plain = Window(size=6, every=4, **fields), Gradient(**fields)
    stream = rows(14, 3)
    x = rule.model.backbone(stream.x)
    state = start = rule.init({})
    seen = []
    for i in range(14):
        one = torch.ones(1)
        state = rule.update(state, Batch(x[i : i + 1], stream.y[i : i + 1], one, one, torch.tensor(0)))
        seen.append(state["theta"])
    assert all(torch.equal(seen[2][name], start["theta"][name]) for name in start["theta"])
    assert all(torch.equal(seen[11][name], seen[13][name]) for name in seen[11])
    last = Batch(x[6:12], stream.y[6:12], torch.ones(6), torch.ones(6), torch.tensor(0))
    fresh = plain.update(plain.init({}), last)["theta"]
    assert all(torch.allclose(seen[11][name], fresh[name]) for name in fresh)
    whole = rule.update(start, Batch(x[:12], stream.y[:12], torch.ones(12), torch.ones(12), torch.tensor(0)))["theta"]
    assert all(torch.allclose(whole[name], fresh[name]) for name in fresh)


def test_a_reset_goes_on_from_the_start_at_an_alarm() -> None:
    plain = Gradient(model=model(), inner_lr=0.3)
    rule = Reset(model=plain.model, rule=functools.partial(Gradient, inner_lr=0.3))
    first, second = ((rule.model.backbone(part.x), part.y) for part in (rows(5, 1), rows(5, 2)))
    one = torch.ones(5)
    state = rule.update(rule.init({}), Batch(*first, one, one, torch.tensor(0)))
    moved = plain.update(plain.init({}), Batch(*first, one, one, torch.tensor(0)))["theta"]
    assert all(torch.equal(state["rule"]["theta"][name], moved[name]) for name in moved)
    state = rule.update(state, Batch(*second, one, one, torch.tensor(3)))
    fresh = plain.update(plain.init({}), Batch(*second, one, one, torch.tensor(0)))["theta"]
    assert all(torch.equal(state["rule"]["theta"][name], fresh[name]) for name in fresh)
    assert int(rule.told(state)["resets"]) == 1
