"""How alike two rows are: learned weights of the features, found from what the support rows tell about each.

Everything is a sum over features, so their order and number are free; constant features count nothing.
Shapes: S support rows, B rows, D features, C classes (or targets), H kernels.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

WIDEST = 6.0
"""Deviations that a standardised feature cannot leave; a row far outside of the support is no reason to extrapolate."""


class Scale(NamedTuple):
    """What standardising needs of the support; a pytree to torch.func."""

    mean: Tensor  # (D,)
    deviation: Tensor  # (D,)  1 where constant
    varies: Tensor  # (D,)
    ordered: Tensor  # (D, S)  each feature in ascending order; infinity where no row is shown
    shown: Tensor  # ()  how many


def scale_of(x: Tensor, shown: Tensor) -> Scale:
    """Return how to standardise by support rows x (S, D) of which some are shown (S,)."""
    number = shown.sum().clamp(min=1.0)
    mean = (x * shown[:, None]).sum(0) / number
    centred = (x - mean) * shown[:, None]
    deviation = (centred.square().sum(0) / number).sqrt()
    varies = deviation > 100 * torch.finfo(x.dtype).eps * mean.abs()
    ordered = torch.where(shown[:, None] > 0, x, torch.inf).sort(0).values.T.contiguous()
    return Scale(mean, torch.where(varies, deviation, 1.0), varies.to(x.dtype), ordered, shown.sum())


def views(scale: Scale, x: Tensor) -> Tensor:
    """Return two views of each feature (B, 2 D): standardised and bent where extreme, and its rank in the support."""
    z = (x - scale.mean) / scale.deviation
    z = z / (1 + (z / WIDEST).square()).sqrt()
    columns = x.T.clone(memory_format=torch.contiguous_format)
    below = torch.searchsorted(scale.ordered, columns)
    up_to = torch.searchsorted(scale.ordered, columns, right=True)
    rank = (below + up_to).T.to(x.dtype) / (2 * scale.shown.clamp(min=1.0)) - 0.5
    return torch.cat([z * scale.varies, rank * 12**0.5 * scale.varies], -1)


def facts(p: Tensor, target: Tensor, shown: Tensor, classes: Tensor, varies: Tensor, context: Tensor) -> Tensor:
    """Return what the support tells about each view of a feature (2 D, FACTS).

    p (S, 2 D), target (S, C) centred, context (N,): facts about the whole table.
    """
    number, valid = shown.sum().clamp(min=1.0), torch.cat([varies, varies])
    p = p * shown[:, None]
    power = p.square().sum(0).clamp(min=1e-6)
    strength = target.square().sum(0).clamp(min=1e-6)
    agreement = (p.T @ target).square() / (power[:, None] * strength) * classes
    mean = agreement.sum(1) / classes.sum()
    together = (p.T @ p).square() / (power[:, None] * power)
    crowd = (together * valid).sum(1) / valid.sum().clamp(min=1.0)
    rank = torch.cat([torch.zeros_like(varies), torch.ones_like(varies)])
    own = torch.stack([
        mean, agreement.amax(1), torch.log1p(number * mean), crowd,
        (p.abs().sum(0) / number), torch.log1p(p.square().square().sum(0) / number), rank,
    ], -1)  # fmt: skip
    best = (own[:, :1] * valid[:, None]).amax(0)
    average = (own[:, 2:3] * valid[:, None]).sum(0) / valid.sum().clamp(min=1.0)
    table = torch.cat([best, average, context])
    return torch.cat([own, table.expand(len(own), -1)], -1)


OWN, TABLE = 7, 2


class Weights(nn.Module):
    """From facts to positive weights of features, one set for each kernel, of sum 1."""

    def __init__(self, context: int, kernels: int, hidden: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(OWN + TABLE + context, hidden), nn.GELU(), nn.Linear(hidden, kernels))

    def forward(self, found: Tensor, varies: Tensor) -> Tensor:
        """Return weights (H, 2 D)."""
        raw = (8 * torch.tanh(self.net(found) / 8)).exp() * torch.cat([varies, varies])[:, None]
        weights: Tensor = (raw / raw.sum(0).clamp(min=1e-9)).T
        return weights


def products(weights: Tensor, p: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Return weighted inner products and squared distances (H, B, S) of views p (B, 2 D) and others (S, 2 D)."""
    mine = p * weights[:, None]
    inner = mine @ others.T
    square, square_others = (mine * p).sum(-1), (others.square() @ weights.T).T
    return inner, (square[:, :, None] + square_others[:, None] - 2 * inner).clamp(min=0.0)
