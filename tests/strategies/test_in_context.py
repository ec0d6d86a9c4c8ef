"""The network that reads tables: what it must not see, what must not matter, its closed forms and its gradient."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.func import vmap

from metarun.backbones.plain import Plain
from metarun.data.prior.tasks import Limits, PriorTasks
from metarun.heads.linear import Linear
from metarun.in_context.network import Network, classify, regress
from metarun.in_context.similarity import products, scale_of, views
from metarun.model import CLOSED, Model, Spec
from metarun.objectives.cross_entropy import CrossEntropy
from metarun.objectives.squared import Squared
from metarun.rule import Batch, Task
from metarun.strategies.meta.in_context import InContext

FEATURES, CLASSES = 6, 3


def rule(classes: int) -> InContext:
    """Return the rule with weights that no zero hides, in float64."""
    torch.manual_seed(0)
    spec = Spec(shape=(FEATURES,), outputs=max(classes, 1))
    backbone = Plain(spec=spec)
    model = Model(backbone, Linear(backbone=backbone, spec=spec), CrossEntropy() if classes else Squared())
    made = InContext(model=model, width=8, layers=2, heads=2, lines=1, bells=2, hidden=5).double()
    with torch.no_grad():
        for parameter in made.network.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return made


def tasks(classes: int, number: int = 12) -> Task:
    """Return padded tasks (T,) of several sizes in float64; some labels are hidden."""
    found = PriorTasks(Limits(9, 5, FEATURES, classes), 1, "train", 100, block=2).batch(torch.arange(number))
    rows = found.support.x.shape[1]
    hidden = (torch.arange(rows) == CLASSES + 1) & (found.support.mask.sum(1, keepdim=True) > CLASSES + 2)

    def double(batch: Batch, known: Tensor) -> Batch:
        y = batch.y if classes else batch.y.double()
        return Batch(batch.x.double(), y, batch.mask.double(), known.double(), batch.event)

    known = found.support.mask * ~hidden
    return Task(found.context, double(found.support, known), double(found.query, found.query.known))


def answers(made: InContext, task: Task) -> Tensor:
    with torch.no_grad():
        return vmap(lambda t: made.predict(made.adapt(t), t.query.x))(task)


both = pytest.mark.parametrize("classes", [CLASSES, 0])


@both
def test_vmap_equals_a_loop_without_padding(classes: int) -> None:
    made, task = rule(classes), tasks(classes)
    out = answers(made, task)
    for t in range(len(out)):
        rows = task.support.known[t] > 0
        support = Batch(
            task.support.x[t][rows], task.support.y[t][rows], *(torch.ones(int(rows.sum())).double(),) * 2, None
        )
        context = {name: value[t] for name, value in task.context.items()}
        with torch.no_grad():
            alone = made.predict(made.update(made.init(context), support), task.query.x[t])
        torch.testing.assert_close(out[t], alone, rtol=1e-9, atol=1e-9)


@both
def test_hidden_rows_change_nothing_even_if_not_a_number(classes: int) -> None:
    made, task = rule(classes), tasks(classes)
    hidden = task.support.known == 0
    assert hidden.any()
    x = torch.where(hidden[..., None], torch.nan, task.support.x)
    y = torch.where(hidden, torch.tensor(torch.nan if not classes else 7).to(task.support.y), task.support.y)
    changed = task._replace(support=task.support._replace(x=x, y=y))
    assert torch.equal(answers(made, task), answers(made, changed))


@both
def test_orders_of_rows_and_features_do_not_matter_and_queries_are_alone(classes: int) -> None:
    made, task = rule(classes), tasks(classes)
    out = answers(made, task)
    rows, features = torch.randperm(task.support.x.shape[1]), torch.randperm(task.support.x.shape[2])
    support = task.support
    moved = support._replace(
        x=support.x[:, rows][..., features],
        y=support.y[:, rows],
        mask=support.mask[:, rows],
        known=support.known[:, rows],
    )
    some = task.query._replace(x=task.query.x[:, [3, 1]][..., features])
    torch.testing.assert_close(answers(made, task._replace(support=moved, query=some)), out[:, [3, 1]])


def test_permuting_classes_permutes_scores_and_closed_classes_stay_closed() -> None:
    made, task = rule(CLASSES), tasks(CLASSES)
    order = torch.tensor([2, 0, 1])  # class c is called order[c]
    support = task.support._replace(y=order[task.support.y])
    classes = torch.empty_like(task.context["classes"])
    classes[:, order] = task.context["classes"]
    out = answers(made, task)
    renamed = answers(made, task._replace(context={**task.context, "classes": classes}, support=support))
    torch.testing.assert_close(renamed[..., order], out)
    closed = task.context["classes"][:, None].expand_as(out) == 0
    assert closed.any()
    assert (out[closed] == CLOSED).all()


def test_numbers_are_answered_in_their_own_unit() -> None:
    made, task = rule(0), tasks(0)
    out = answers(made, task)
    other = answers(made, task._replace(support=task.support._replace(y=7 - 3 * task.support.y)))
    torch.testing.assert_close(other, 7 - 3 * out)


@both
def test_rows_in_parts_are_rows_at_once(classes: int) -> None:
    made, task = rule(classes), tasks(classes)
    out = answers(made, task)
    made.chunk = 2
    torch.testing.assert_close(answers(made, task), out)


def test_a_constant_feature_is_worth_nothing_and_an_extreme_row_is_finite() -> None:
    made, task = rule(0), tasks(0)
    flat = task.support._replace(x=task.support.x.clone())
    flat.x[..., 2] = 1e6 + 0.1
    query = task.query._replace(x=task.query.x.clone())
    one = answers(made, task._replace(support=flat, query=query))
    query.x[..., 2] = -5.0
    assert torch.equal(answers(made, task._replace(support=flat, query=query)), one)
    query.x[:, 0] = 1e12
    assert answers(made, task._replace(query=query)).isfinite().all()


def test_left_out_answers_are_those_of_a_solution_without_the_row() -> None:
    torch.manual_seed(1)
    network = Network(8, 1, 2, 1, 2, 5).double()
    x, shown = torch.randn(7, 4).double(), torch.tensor([1, 1, 1, 1, 1, 1, 0]).double()
    y, classes = torch.randn(7, 2).double(), torch.ones(2).double()
    with torch.no_grad():
        support = network.read(x, y, shown, classes)
        inner, away = products(support.weights, support.views, support.views)
        inverse = network.inverse(support, inner, away)
        found = support.target - support.solution / inverse.diagonal(dim1=-2, dim2=-1)[..., None]
        kernel = network.kernel(support, inner, away)
    for r in range(3):
        ridge = float(support.settings[2 + r, 1]) + 1e-3
        for i in range(6):
            rest = [j for j in range(6) if j != i]
            system = kernel[r][rest][:, rest] + ridge * torch.eye(5)
            torch.testing.assert_close(
                found[r, i], kernel[r, i, rest] @ torch.linalg.solve(system, support.target[rest])
            )


def test_the_first_kernels_average_neighbours() -> None:
    torch.manual_seed(2)
    network = Network(8, 1, 2, 1, 1, 5).double()
    x, y = torch.randn(6, 3).double(), torch.randn(6, 2).double()
    with torch.no_grad():
        support = network.read(x, y, torch.ones(6).double(), torch.ones(2).double())
        query = views(support.scale, torch.randn(1, 3).double())
        _, away = products(support.weights, query, support.views)
        _, first, _ = network.tokens(
            support,
            torch.zeros(2, 1, 2).double(),
            away,
            torch.zeros(1, 6).bool(),
            torch.zeros(1, 2).double(),
            torch.zeros(1),
        )
    for h in range(2):
        distance = [float((support.weights[h] * (query[0] - row) ** 2).sum()) for row in support.views]
        near = [math.exp(-float(support.settings[h, 0]) * d) for d in distance]
        total = sum(near) + math.exp(-20)
        expected = sum(w / total * t for w, t in zip(near, support.target, strict=True))
        torch.testing.assert_close(first[0, :, h], expected)


def test_views_are_bent_deviations_and_ranks() -> None:
    x = torch.tensor([[1.0], [2.0], [2.0], [5.0], [9.0]]).double()
    shown = torch.tensor([1, 1, 1, 1, 0]).double()
    found = views(scale_of(x, shown), torch.tensor([[2.0], [100.0]]).double())
    z = (2 - 2.5) / 1.5
    assert found[0, 0] == pytest.approx(z / math.sqrt(1 + (z / 6) ** 2))
    assert found[0, 1] == pytest.approx(((1 + 3) / 8 - 0.5) * math.sqrt(12))
    assert found[1].tolist() == pytest.approx([6 / math.sqrt(1 + (6 * 1.5 / 97.5) ** 2), 0.5 * math.sqrt(12)])


@both
def test_the_outer_gradient_is_that_of_finite_differences(classes: int) -> None:
    made, task = rule(classes), tasks(classes, 2)

    def loss() -> Tensor:
        return vmap(made.outer)(task).mean()

    loss().backward()
    for name in ("weights.net.0.weight", "settings.2.bias", "layers.0.key.weight", "layers.1.near", "leave.weight"):
        parameter = made.network.get_parameter(name)
        with torch.no_grad():
            flat, step = parameter.view(-1), 1e-5
            start = float(flat[0])
            values = []
            for sign in (1, -1):
                flat[0] = start + sign * step
                values.append(float(loss()))
            flat[0] = start
        assert parameter.grad is not None
        assert float(parameter.grad.view(-1)[0]) == pytest.approx(
            (values[0] - values[1]) / (2 * step), rel=1e-4, abs=1e-9
        )


def test_without_rows_all_classes_are_alike_and_the_number_is_0() -> None:
    network, none = Network(8, 1, 2, 1, 1, 5).double(), torch.zeros(0).double()
    x, query = torch.zeros(0, 2).double(), torch.randn(3, 2).double()
    out = classify(network, x, none, none, torch.ones(2).double(), query)
    torch.testing.assert_close(out[:, 0], out[:, 1])
    assert (regress(network, x, none, none, query) == 0).all()


def test_one_row_is_enough() -> None:
    network, one = Network(8, 1, 2, 1, 1, 5).double(), torch.ones(1).double()
    x, query = torch.randn(1, 2).double(), torch.randn(3, 2).double()
    assert classify(network, x, torch.zeros(1), one, torch.tensor([1.0, 0.0]).double(), query).isfinite().all()
    torch.testing.assert_close(regress(network, x, 4 * one, one, query), torch.full((3, 1), 4.0).double())
