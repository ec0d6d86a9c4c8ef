"""The learned shift of meta/ridge: it is there where the objective asks for the median."""

from __future__ import annotations

import torch
from toys import rule, tasks

from metarun.strategies.meta.ridge import MetaRidge
from metarun.tasks import answers, encode, outer


def test_only_an_absolute_objective_has_a_shift() -> None:
    squared, absolute = (rule("meta/ridge", {}, f"objective={name}") for name in ("squared", "absolute"))
    assert isinstance(squared, MetaRidge)
    assert squared.shift is None
    assert isinstance(absolute, MetaRidge)
    assert absolute.shift is not None


def test_the_gradient_of_the_shift_is_the_share_above_less_the_share_below() -> None:
    made, task = rule("meta/ridge", {}, "objective=absolute"), tasks(40, support=6, query=20)
    assert isinstance(made, MetaRidge)
    assert made.shift is not None
    gradient = torch.autograd.grad(outer(made, task).mean(), made.shift)[0]
    above = torch.sign(answers(made, encode(made, task), True)[..., 0] - task.query.y) * task.query.known
    torch.testing.assert_close(gradient, (above.sum(1) / task.query.known.sum(1)).mean())
