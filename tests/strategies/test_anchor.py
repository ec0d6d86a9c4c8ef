"""The pull that L2-SP, EWC and Reptile share, in float64: against autograd of the penalty written out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from metarun.strategies.anchor import penalty, proximal, pull

Tensors = dict[str, Tensor]


def drawn(seed: int) -> Tensors:
    draws = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(shape, generator=draws, dtype=torch.float64)
        for name, shape in (("head", (3, 2)), ("bias", (4,)), ("scale", ()))
    }


def written_out(theta: Tensors, anchor: Tensors, strength: float, weight: Tensors | None) -> Tensor:
    """Return strength / 2 * sum of weight * squared distance, number by number."""
    total = torch.zeros((), dtype=torch.float64)
    for name, value in theta.items():
        factors = torch.ones_like(value) if weight is None else weight[name]
        triples = zip(value.reshape(-1), anchor[name].reshape(-1), factors.reshape(-1), strict=True)
        for one, other, factor in triples:
            total = total + strength / 2 * factor * (one - other) ** 2
    return total


@pytest.mark.parametrize("weighted", [False, True])
def test_the_penalty_its_gradient_and_its_proximal_point(weighted: bool) -> None:
    theta, anchor = ({n: v.requires_grad_(k == 0) for n, v in drawn(k).items()} for k in range(2))
    weight = {name: value.square() for name, value in drawn(2).items()} if weighted else None
    expected = written_out(theta, anchor, 0.7, weight)
    torch.testing.assert_close(penalty(theta, anchor, 0.7, weight), expected)
    gradients = torch.autograd.grad(expected, list(theta.values()))
    for name, gradient in zip(theta, gradients, strict=True):
        torch.testing.assert_close(pull(theta, anchor, 0.7, weight)[name], gradient)
    before = {name: value.detach() for name, value in theta.items()}
    point = {name: value.requires_grad_() for name, value in proximal(before, anchor, 0.7, weight).items()}
    least = written_out(point, before, 1.0, None) + written_out(point, anchor, 0.7, weight)
    for slope in torch.autograd.grad(least, list(point.values())):
        torch.testing.assert_close(slope, torch.zeros_like(slope))


def test_a_pull_beyond_measure_ends_at_the_anchor() -> None:
    theta, anchor = drawn(0), drawn(1)
    for name, value in proximal(theta, anchor, 1e12).items():
        torch.testing.assert_close(value, anchor[name])
