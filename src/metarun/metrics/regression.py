"""Errors of predicted ratings, one value per task; pure, batched over leading axes, safe under vmap."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def mse(out: Tensor, y: Tensor, mask: Tensor) -> Tensor:
    """Return the mean squared error of each task, (T, Q) x 3 -> (T,); the table's rmse is the root of its mean.

    A task without a query row has no error: nan. A row with mask 0 is never read, whatever it holds.
    """
    return _mean(torch.square, out, y, mask)


def mae(out: Tensor, y: Tensor, mask: Tensor) -> Tensor:
    """Return the mean absolute error of each task, (T, Q) x 3 -> (T,); nan for a task without a query row."""
    return _mean(torch.abs, out, y, mask)


def _mean(size: Callable[[Tensor], Tensor], out: Tensor, y: Tensor, mask: Tensor) -> Tensor:
    """Return the masked mean size of the error over the last axis; refuse shapes that would broadcast silently."""
    if not out.shape == y.shape == mask.shape:
        raise ValueError(f"out {tuple(out.shape)}, y {tuple(y.shape)} and mask {tuple(mask.shape)} must be alike")
    error = size(out - y)
    kept = torch.where(mask.bool(), error, torch.zeros_like(error))
    return kept.sum(-1) / mask.to(error.dtype).sum(-1)
