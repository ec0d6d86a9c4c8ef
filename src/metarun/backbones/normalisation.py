"""Normalisation by name, with statistics that belong to a task and are never stored.

Ioffe and Szegedy, "Batch normalization", ICML 2015; Bronskill et al., "TaskNorm", ICML 2020 (which rows may count);
Wu and He, "Group normalization", ECCV 2018.
"""

from __future__ import annotations

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
        """Return x (T * B, channels, ...) normalised; counted (T, B): 1 where a row is part of the statistics."""
        if self.kind == "none":
            return x
        if self.kind == "group":
            return group_norm(x, self.groups, self.weight, self.bias, EPSILON)
        assert self.weight is not None
        assert self.bias is not None
        tasks, rows = counted.shape
        places = tuple(range(3, 1 + x.ndim))
        grouped = x.reshape(tasks, rows, *x.shape[1:])
        total = counted.sum(1, keepdim=True)
        share = (counted / total.clamp(min=1.0))[..., None]
        mean = ((grouped.mean(places) if places else grouped) * share).sum(1)
        # Centred first: the difference of two means of squares loses its digits in float32.
        around = grouped - mean.reshape(tasks, 1, -1, *[1] * len(places))
        spread = around.square()
        # Where nothing counts there is nothing to divide by: the rows stay as they are.
        variance = ((spread.mean(places) if places else spread) * share).sum(1) + (total == 0)
        factor = self.weight * torch.rsqrt(variance + EPSILON)
        out = around * factor.reshape(tasks, 1, -1, *[1] * len(places)) + self.bias.reshape(-1, *[1] * len(places))
        return out.reshape(x.shape)
