"""Normalisation by name, with statistics that belong to a task and are never stored.

Ioffe and Szegedy, "Batch normalization", ICML 2015; Bronskill et al., "TaskNorm", ICML 2020 (which rows may count);
Wu and He, "Group normalization", ECCV 2018.

Shapes: T tasks of B rows each, C channels, P places (1 where a row is no image).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import group_norm

NAMES = ("support", "query", "group", "none")
SPOKEN = {
    "support": "statistics of the support (inductive)",
    "query": "statistics of the query batch (transductive)",
    "group": "groups of channels (inductive)",
    "none": "none (inductive)",
}
POOLED = ("support", "query")
"""Those whose statistics are made of several rows."""
EPSILON = 1e-5
GROUPS = 8


class Normalisation(nn.Module):
    """Scale and shift of channels after normalising by statistics of the counted rows, of the row itself, or not.

    `kind`: "support" and "query" pool over rows (which ones, the caller says), "group" over channels of the row alone.
    """

    def __init__(self, kind: str, channels: int) -> None:
        super().__init__()
        self.kind, self.groups = kind, GROUPS if channels % GROUPS == 0 else 1
        self.weight = nn.Parameter(torch.ones(channels)) if kind != "none" else None
        self.bias = nn.Parameter(torch.zeros(channels)) if kind != "none" else None

    def forward(self, x: Tensor, counted: Tensor) -> Tensor:
        """Return x (T * B, C, ...) normalised; counted (T, B): 1 where a row is part of the statistics."""
        if self.kind == "none":
            return x
        if self.kind == "group":
            return group_norm(x, self.groups, self.weight, self.bias, EPSILON)
        assert self.weight is not None
        return along(x, *self.line(x, counted, self.weight))

    def line(self, x: Tensor, counted: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return (slope (T, C), offset (T, C)) of what statistics of several rows of x (T * B, C, ...) make of x."""
        total = counted.sum(1, keepdim=True)
        mean, variance = Moments.apply(x.reshape(*x.shape[:2], -1), counted / total.clamp(min=1.0))  # type: ignore[no-untyped-call]
        # Where nothing counts there is nothing to divide by: the rows stay as they are.
        slope = weight * torch.rsqrt(variance + (total == 0) + EPSILON)
        assert self.bias is not None
        return slope, self.bias - mean * slope


def along(x: Tensor, slope: Tensor, offset: Tensor) -> Tensor:
    """Return slope (T, C) * x (T * B, C, ...) + offset (T, C)."""
    rows, ones = len(x) // len(slope), [1] * (x.ndim - 2)
    slope, offset = (per_row(value, rows).reshape(len(x), -1, *ones).to(x.dtype) for value in (slope, offset))
    return torch.addcmul(offset, x, slope)


def per_row(value: Tensor, rows: int) -> Tensor:
    """Return (T * B, C) from one value (T, C) per task of B rows."""
    return value[:, None].expand(-1, rows, -1).reshape(-1, value.shape[-1])


class Moments(torch.autograd.Function):
    """Mean and variance (T, C) of x (T * B, C, P) over places and rows, each row with its share (T, B) of its task.

    By hand because autograd of the same lines goes through the maps three times more, which is most of the time of a
    small network on a CPU. Its backward pass is itself differentiable.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        """Return (mean, variance)."""
        mean = over_rows(x, share)
        # Centred first: the difference of two means of squares loses its digits in float32.
        around = x - per_row(mean, share.shape[1])[..., None].to(x.dtype)
        return mean, over_rows(around.mul_(around), share)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: tuple[Tensor, Tensor]) -> None:
        """Keep what the backward pass reads."""
        ctx.save_for_backward(*inputs, output[0])

    @staticmethod
    def backward(ctx: Any, of_mean: Tensor, of_variance: Tensor) -> tuple[Tensor, None]:
        """Return share / P * (d mean + 2 * d variance * (x - mean)), a line in x."""
        x, share, mean = ctx.saved_tensors
        part = (share / x.shape[-1])[..., None]
        slope = 2 * part * of_variance[:, None]
        offset = part * of_mean[:, None] - slope * mean[:, None]
        slope, offset = (value.flatten(0, 1)[..., None].to(x.dtype) for value in (slope, offset))
        return torch.addcmul(offset, x, slope), None


def over_rows(x: Tensor, share: Tensor) -> Tensor:
    """Return the mean (T, C) of x (T * B, C, P), each row weighted by its share (T, B)."""
    return (x.mean(-1, dtype=share.dtype).reshape(*share.shape, -1) * share[..., None]).sum(1)
