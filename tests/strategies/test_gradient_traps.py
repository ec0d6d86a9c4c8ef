"""Known mistakes of few-shot code, each with a test; and what rules of the family do by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from array_toys import CLASSES, CLASSIFICATION, HIDDEN, REGRESSION, rule, tasks
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize
from torch.utils._pytree import tree_map
from toys import draws

from metarun.model import CLOSED
from metarun.rule import Batch, Rule, Task
from metarun.stages.meta import Meta
from metarun.strategies.gradient import HEAD, Gradient
from metarun.strategies.meta.curvature import Curvature, axes, factors, transform
from metarun.strategies.meta.maml_plus_plus import MAMLPlusPlus
from metarun.strategies.transfer.baseline_plus_plus import BaselinePlusPlus
from metarun.tasks import answers, encode, outer

ALL = {"moves": "all", "learns": "all", "steps": 2, "inner_lr": 0.1, "shrink": 0.0}


def made(method: str = "meta/maml", norm: str = "none", kind: str = CLASSIFICATION, **changes: Any) -> Gradient:
    found = rule(method, kind, {**(ALL if method == "meta/maml" else {}), **changes}, norm)
    assert isinstance(found, Gradient)
    return found


def one(task: Task, t: int = 0) -> Task:
    return tree_map(lambda leaf: leaf[t], task)


def full(ways: int, shots: int, seed: int = 0) -> Task:
    """Return one task with as many rows of every class."""
    generator = draws(seed)
    y = torch.arange(ways).repeat(shots)
    x = torch.randn(len(y), 5, generator=generator, dtype=torch.float64)
    ones = torch.ones(len(y), dtype=torch.float64)
    batch = Batch(x, y, ones, ones, torch.tensor(0))
    classes = (torch.arange(CLASSES) < ways).double()
    return Task({"key": torch.tensor(0), "classes": classes}, batch, batch)


def outputs(rule: Rule, task: Task) -> Tensor:
    return answers(rule, encode(rule, task), True).detach()


@pytest.mark.parametrize("method", ["meta/maml", "meta/anil"])
@pytest.mark.parametrize("norm", ["none", "group", "support", "query"])
def test_other_queries_change_an_answer_only_where_that_is_said(method: str, norm: str) -> None:
    found, task = made(method, norm), tasks(CLASSIFICATION, 2)
    x = task.query.x.clone()
    x[:, 1:] += 3.0
    exists = task.query._replace(mask=torch.ones_like(task.query.mask))
    both = (task._replace(query=exists._replace(x=rows)) for rows in (task.query.x, x))
    first, second = (outputs(found, changed)[:, 0] for changed in both)
    closed = first == CLOSED
    assert torch.equal(closed, second == CLOSED)
    assert closed.any()
    difference = (first - second)[~closed].abs().max()
    assert difference > 1e-3 if norm == "query" else difference < 1e-12
    alone = task._replace(query=exists._replace(mask=torch.eye(4)[0].double().expand(2, 4)))
    rows_that_do_not_exist = alone._replace(query=alone.query._replace(x=x))
    torch.testing.assert_close(outputs(found, alone)[:, 0], outputs(found, rows_that_do_not_exist)[:, 0])


@pytest.mark.parametrize("method", ["meta/maml", "meta/anil", "meta/mamlplusplus", "transfer/baselineplusplus"])
@pytest.mark.parametrize("norm", ["support", "query"])
def test_judging_stores_nothing(method: str, norm: str) -> None:
    found, task = made(method, norm), tasks(CLASSIFICATION, 3, seed=4)
    before = {name: value.clone() for name, value in found.state_dict().items()}
    first = outputs(found, task)
    outputs(found, tasks(CLASSIFICATION, 3, seed=5))
    assert found.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in found.state_dict().items())
    assert torch.equal(outputs(found, task), first)
    assert not list(found.model.backbone.buffers())


@pytest.mark.parametrize("moves", ["all", "head"])
def test_the_support_loss_is_a_mean(moves: str) -> None:
    """A sum over N ways, as in the original code, steps N times as far: its 0.4 at 5 ways is 2.0 here."""
    ways, shots = 4, 3
    found, task = made(moves=moves, steps=1, inner_lr=0.4 * ways, learn_rate="none"), full(ways, shots)
    before = {name: p for name, p in found.model.named_parameters() if moves == "all" or name == "head.weight"}
    hidden = torch.relu(found.model.backbone.layers[0](task.support.x))
    out = hidden @ found.model.head.weight[:-1] + found.model.head.weight[-1]
    summed = cross_entropy(out, task.support.y, reduction="sum") / shots
    expected = {
        name: p - 0.4 * g
        for (name, p), g in zip(before.items(), torch.autograd.grad(summed, list(before.values())), strict=True)
    }
    seen = one(encode(found, tree_map(lambda leaf: leaf[None], task)))
    committed = found.commit(found.adapt(seen))
    assert committed.keys() == expected.keys()
    for name, value in committed.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-10, atol=1e-12)
    twice = tree_map(lambda leaf: torch.cat([leaf, leaf]) if leaf.ndim else leaf, seen.support)
    again = found.update(found.init(seen.context), twice)
    torch.testing.assert_close(again["theta"][HEAD], committed["head.weight"], rtol=1e-10, atol=1e-12)


def test_absent_classes_are_closed_and_never_pulled() -> None:
    found, task = made(), tasks(CLASSIFICATION, 3)
    absent = task.context["classes"] == 0
    out = outputs(found, task)
    assert (out.mT[absent] == CLOSED).all()
    assert (out.mT[~absent] > CLOSED / 2).all()
    for t in range(3):
        head = found.adapt(one(task, t))["theta"][HEAD]
        assert torch.equal(head[:, absent[t]], found.model.head.weight[:, absent[t]])
        assert not torch.equal(head[:, ~absent[t]], found.model.head.weight[:, ~absent[t]])


@pytest.mark.parametrize("method", ["meta/maml", "meta/curvature", "meta/mamlplusplus"])
def test_more_steps_when_judged_leave_training_as_it_is(method: str) -> None:
    changes = {"steps": 2, "inner_lr": 0.1}
    few, many = (made(method, **{**changes, "test_steps": steps}) for steps in (None, 5))
    task = tasks(CLASSIFICATION, 2)
    assert torch.equal(outer(few, task), outer(many, task))
    assert (outputs(few, task) - outputs(many, task)).abs().max() > 1e-4
    path = list(many.path(many.init(one(task).context), one(task).support))
    assert len(path) == 5
    torch.testing.assert_close(path[1]["theta"], few.adapt(one(task))["theta"])


def test_learned_rates_may_turn_around_and_last() -> None:
    found = made("meta/mamlplusplus", kind=REGRESSION, steps=2, test_steps=4)
    with torch.no_grad():
        for rates in found.rates.parameters():
            rates.copy_(torch.tensor([0.1, -0.2]))
    task = one(tasks(REGRESSION, 1))
    state = found.init(task.context)
    for rate, after in zip([0.1, -0.2, -0.2, -0.2], found.path(state, task.support), strict=True):
        gradient = found.gradient(state, task.support)
        for name, value in gradient.items():
            torch.testing.assert_close(after["theta"][name], state["theta"][name] - rate * value)
        state = after


def test_every_weight_has_a_rate_and_every_layer_one_per_step() -> None:
    weights = dict(made("meta/metasgd").rates)
    shapes = {"head": (HIDDEN + 1, CLASSES), "layers_0_weight": (HIDDEN, 5), "layers_0_bias": (HIDDEN,)}
    assert {name: tuple(rate.shape) for name, rate in weights.items()} == shapes
    steps = dict(made("meta/mamlplusplus", steps=3).rates)
    assert {name: tuple(rate.shape) for name, rate in steps.items()} == dict.fromkeys(shapes, (3,))


def test_the_multi_step_loss_ends_as_that_of_the_last_step() -> None:
    found = made("meta/mamlplusplus", steps=4)
    assert isinstance(found, MAMLPlusPlus)
    expected = {0.0: [0.25] * 4, 0.05: [0.125] * 3 + [0.625], 0.1: [0, 0, 0, 1], 1.0: [0, 0, 0, 1]}
    for found.progress, weights in expected.items():
        assert found.weights() == pytest.approx(weights)
        assert found.cuts == (found.progress < 0.3)
    found.multi_step, found.progress = 0.0, 0.0
    assert found.weights() == [0, 0, 0, 1]


def test_progress_is_a_pure_function_of_the_step() -> None:
    found = made()
    assert found.progress == 1.0
    stage = Meta(found, 0.1, 8, True)
    for position in (0, 6, 2):
        stage.position = position
        stage.training_step(tasks(CLASSIFICATION, 2), 0)
        assert found.progress == position / 8


def test_curvature_is_a_kronecker_product() -> None:
    shape = torch.Size([3, 2, 2, 2])
    maps = factors(shape).double()
    gradient = torch.randn(shape, generator=draws(0), dtype=torch.float64)
    torch.testing.assert_close(transform(maps, gradient), gradient)
    for number, matrix in enumerate(maps.parameters()):
        matrix.data += torch.randn(matrix.shape, generator=draws(number), dtype=torch.float64)
    whole = torch.kron(maps[0], torch.kron(maps[1], maps[2]))
    torch.testing.assert_close(transform(maps, gradient).flatten(), whole @ gradient.flatten())
    assert axes(shape) == [3, 2, 4]


def test_curvature_begins_as_maml() -> None:
    task = tasks(CLASSIFICATION, 2)
    curved = made("meta/curvature", steps=2, inner_lr=0.1)
    plain = made(learn_rate="none")
    assert isinstance(curved, Curvature)
    plain.model.load_state_dict(curved.model.state_dict())
    assert (outer(curved, task) - outer(plain, task)).abs().max() > 1e-5
    for p in curved.factors.parameters():
        p.data = torch.eye(len(p)).double() if p.ndim == 2 else torch.ones_like(p)
    torch.testing.assert_close(outer(curved, task), outer(plain, task))


def test_baseline_plus_plus_by_hand() -> None:
    found, task = made("transfer/baselineplusplus", steps=3, inner_lr=0.5, scale=7.0), full(3, 2)
    assert isinstance(found, BaselinePlusPlus)
    seen = one(encode(found, tree_map(lambda leaf: leaf[None], task)))
    assert torch.equal(found.predict(found.init(seen.context), seen.query.x)[:, :3], torch.zeros(6, 3).double())
    hidden = normalize(torch.relu(found.model.backbone.layers[0](task.support.x)).detach())
    weight = torch.stack([hidden[task.support.y == c].mean(0) for c in range(3)])
    for _ in range(3):
        weight.requires_grad_()
        loss = cross_entropy(7 * hidden @ normalize(weight).T, task.support.y)
        weight = (weight - 0.5 * torch.autograd.grad(loss, weight)[0]).detach()
    state = found.adapt(seen)
    torch.testing.assert_close(state["theta"][HEAD][:, :3], weight.T, rtol=1e-8, atol=1e-8)
    out = found.predict(state, seen.query.x)
    torch.testing.assert_close(out[:, :3], 7 * hidden @ normalize(weight).T, rtol=1e-8, atol=1e-8)
    assert (out[:, 3] == CLOSED).all()
    assert found.commit(state) == {}


def test_a_class_met_later_starts_at_its_mean_and_the_others_stay() -> None:
    found, task = made("transfer/baselineplusplus", steps=1, inner_lr=1e-12), full(3, 1)
    seen = one(encode(found, tree_map(lambda leaf: leaf[None], task)))
    parts = [seen.support._replace(known=(seen.support.y == c).double()) for c in (0, 1)]
    state = found.update(found.init(seen.context), parts[0])
    met = found.update(state, parts[1])
    torch.testing.assert_close(met["theta"][HEAD][:, 0], state["theta"][HEAD][:, 0], rtol=0, atol=1e-9)
    assert state["theta"][HEAD][:, 1].abs().max() == 0
    direction = normalize(seen.support.x[1, :-1], dim=0)
    torch.testing.assert_close(met["theta"][HEAD][:, 1], direction, rtol=0, atol=1e-9)
    assert met["theta"][HEAD][:, 2].abs().max() == 0


@pytest.mark.parametrize("moves", ["head", "all"])
def test_fine_tuning_learns_classes(moves: str) -> None:
    found, task = made("transfer/finetune", moves=moves, steps=60, inner_lr=0.5), full(4, 3)
    apart = task.support._replace(x=task.support.x + 3 * torch.eye(5).double()[task.support.y])
    task = task._replace(support=apart, query=apart)
    with torch.no_grad():
        found.model.head.weight.zero_()
    whole = tree_map(lambda leaf: leaf[None], task)
    assert (outputs(found, whole)[0].argmax(-1) == task.support.y).double().mean() > 0.9


def test_without_a_support_rows_stay_as_they_are() -> None:
    """Statistics of nothing: no division by what is not there."""
    found, task = made(norm="support"), tasks(CLASSIFICATION, 2)
    none = task._replace(support=task.support._replace(known=torch.zeros_like(task.support.known)))
    before = found.predict(found.init(one(task).context), one(task).query.x)
    torch.testing.assert_close(outputs(found, none)[0], before.detach())
    assert before[before > CLOSED].abs().max() < 100
