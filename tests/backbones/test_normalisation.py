"""Statistics by name against torch's own modules and against a loop over tasks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.func import grad, vmap
from torch.nn.functional import batch_norm

from metarun.backbones.normalisation import EPSILON, Moments, Normalisation


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def norm(kind: str, channels: int = 8) -> Normalisation:
    made = Normalisation(kind, channels).double()
    with torch.no_grad():
        made.weight.copy_(draw(channels, seed=8))
        made.bias.copy_(draw(channels, seed=9))
    return made


SHAPES = pytest.mark.parametrize("places", [(), (3, 2)])
COUNTED = torch.tensor([[1, 1, 0, 1, 0], [1, 0, 0, 1, 1]], dtype=torch.float64)


@SHAPES
def test_when_all_rows_count_it_is_batch_normalisation(places: tuple[int, ...]) -> None:
    made, x = norm("query"), draw(5, 8, *places) + 3
    expected = batch_norm(x, None, None, made.weight, made.bias, True, eps=EPSILON)
    torch.testing.assert_close(made(x, torch.ones(1, 5, dtype=torch.float64)), expected)


@SHAPES
def test_each_task_has_the_statistics_of_its_counted_rows(places: tuple[int, ...]) -> None:
    made, x = norm("support"), draw(10, 8, *places)
    out = made(x, COUNTED).reshape(2, 5, 8, -1)
    for task, rows, counted in zip(out, x.reshape(2, 5, 8, -1), COUNTED.bool(), strict=True):
        known = rows[counted].movedim(1, 0).reshape(8, -1)
        scale = (known.var(1, correction=0) + EPSILON).sqrt()[:, None]
        expected = (rows - known.mean(1)[:, None]) / scale * made.weight[:, None] + made.bias[:, None]
        torch.testing.assert_close(task, expected)


def test_rows_that_do_not_count_change_no_other_row() -> None:
    made, x = norm("support"), draw(10, 8, 3, 2)
    other = torch.where(COUNTED.reshape(-1, 1, 1, 1) > 0, x, draw(10, 8, 3, 2, seed=1))
    counted = COUNTED.flatten() > 0
    torch.testing.assert_close(made(x, COUNTED)[counted], made(other, COUNTED)[counted], rtol=0, atol=0)


def test_groups_are_those_of_torch_and_of_the_row_alone() -> None:
    made, x = norm("group", 16), draw(5, 16, 3, 2)
    theirs = torch.nn.GroupNorm(8, 16, eps=EPSILON).double()
    theirs.load_state_dict(made.state_dict())
    torch.testing.assert_close(made(x, COUNTED), theirs(x))
    torch.testing.assert_close(made(x[:1], COUNTED), made(x, COUNTED)[:1])


def test_none_is_the_input() -> None:
    x = draw(5, 8)
    assert Normalisation("none", 8)(x, COUNTED) is x
    assert list(Normalisation("none", 8).parameters()) == []


def test_derivatives_to_the_second_order() -> None:
    share = COUNTED / COUNTED.sum(1, keepdim=True)
    x = draw(10, 2, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: Moments.apply(x, share), x)
    assert torch.autograd.gradgradcheck(lambda x: Moments.apply(x, share), x)


@SHAPES
def test_it_runs_under_vmap_and_grad_of_grad(places: tuple[int, ...]) -> None:
    """The gradient of the square of the gradient, per task, against autograd of torch's own batch normalisation."""
    made, x, ones = norm("query"), draw(2, 5, 8, *places), torch.ones(1, 5, dtype=torch.float64)

    def loss(x: Tensor, w: Tensor) -> Tensor:
        return (made(x, ones).sin() * w).sum()

    w = draw(5, 8, *places, seed=3)
    found = vmap(grad(lambda x: grad(loss)(x, w).square().sum()))(x)
    for task, answer in zip(x, found, strict=True):
        row = task.clone().requires_grad_()
        out = batch_norm(row, None, None, made.weight, made.bias, True, eps=EPSILON)
        (slope,) = torch.autograd.grad((out.sin() * w).sum(), row, create_graph=True)
        (expected,) = torch.autograd.grad(slope.square().sum(), row)
        torch.testing.assert_close(answer, expected)


def test_nothing_is_stored() -> None:
    made = norm("query")
    before = {name: value.clone() for name, value in made.state_dict().items()}
    made(draw(10, 8), COUNTED)
    assert set(before) == {"weight", "bias"}
    assert all(torch.equal(before[name], value) for name, value in made.state_dict().items())


def test_a_large_mean_costs_no_digits_in_single_precision() -> None:
    x = (draw(50, 8) + 1000).float()
    out = Normalisation("query", 8)(x, torch.ones(1, 50))
    torch.testing.assert_close(out.std(0, correction=0), torch.ones(8), rtol=1e-3, atol=0)
