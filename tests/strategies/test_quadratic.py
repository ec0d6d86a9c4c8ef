"""Sums of the implicit squared loss against the loss itself, written out over the whole catalogue."""

from __future__ import annotations

import pytest
import torch
from toys import ITEMS, model, tasks

from metarun.model import Model
from metarun.rule import Batch, Task
from metarun.strategies.quadratic import at_start, of_rows, survey
from metarun.strategies.transfer.ridge import Ridge
from metarun.tasks import flat

RANKING = ("objective=ranking", "dataset.positive=1", "evaluate=lists")


def encoded(made: Model, task: Task) -> Task:
    return task._replace(support=task.support._replace(x=flat(made.features, task.support.x)))


def implicit_loss(made: Model, task: Task, i: int, weight: torch.Tensor, unobserved: float) -> torch.Tensor:
    """Every item of the catalogue by itself."""
    score = made.head(weight, made.features(made.catalogue()))[:, 0]
    chosen = {int(item): float(y) for item, y, k in zip(
        task.support.x["item"][i], task.support.y[i], task.support.known[i], strict=True) if k > 0}  # fmt: skip
    terms = [chosen[m] * (1 - score[m]) ** 2 if m in chosen else unobserved * score[m] ** 2 for m in range(ITEMS)]
    return torch.stack(terms).sum()


@pytest.mark.parametrize("bias", ["true", "false"])
def test_sums_are_value_gradient_and_curvature_of_the_loss(bias: str) -> None:
    made = model(*RANKING, f"backbone.bias={bias}")
    task = tasks(4)
    task = task._replace(support=task.support._replace(y=task.support.y.abs() + 0.5))
    start = made.head.start(task.context).expand(4, -1, -1).detach()
    found = [a + b for a, b in zip(
        at_start(survey(made), 0.2, start), of_rows(made, encoded(made, task).support, 0.2, start), strict=True
    )]  # fmt: skip
    for i in range(4):
        loss = implicit_loss(made, task, i, start[i], 0.2)
        slope, curve = torch.func.grad(lambda w, i=i: implicit_loss(made, task, i, w, 0.2))(start[i]), found[0][i]
        torch.testing.assert_close(found[2][i], loss.detach())
        torch.testing.assert_close(-2 * found[1][i], slope.detach())
        direction = torch.ones_like(start[i])
        second = torch.func.grad(lambda w, i=i: implicit_loss(made, task, i, w, 0.2))(start[i] + direction) - slope
        torch.testing.assert_close(2 * curve @ direction, second.detach())


def test_fold_in_solves_the_implicit_problem() -> None:
    made = model(*RANKING, "backbone.bias=false")
    rule = Ridge(model=made, penalty=0.7, bias_penalty=0.7, towards="zero", unobserved=0.2).double()
    task = tasks(3)
    task = task._replace(support=task.support._replace(y=torch.ones_like(task.support.y)))
    rule.prepare(iter([]))
    seen = encoded(made, task)
    for i in range(3):
        context = {name: value[i] for name, value in seen.context.items()}
        support = Batch(*(leaf[i] for leaf in seen.support))
        weight = rule.weight(rule.update(rule.init(context), support)).detach()
        slope = torch.func.grad(lambda w, i=i: implicit_loss(made, task, i, w, 0.2) + 0.7 * w.square().sum())(weight)
        torch.testing.assert_close(slope.detach(), torch.zeros_like(slope), atol=1e-8, rtol=0)
