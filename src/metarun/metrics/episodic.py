"""Accuracy and log-loss of classes, one value per task."""

from __future__ import annotations

import torch
from torch import Tensor


def accuracy(out: Tensor, y: Tensor, mask: Tensor) -> Tensor:
    """Return the share (T,) of the rows that exist whose highest score (T, Q, C) is that of their label (T, Q).

    A score that is not a number is never right.
    """
    right = (out.argmax(-1) == y) & out.isfinite().all(-1)
    return (right * mask).sum(-1) / mask.sum(-1)


def log_loss(out: Tensor, y: Tensor, mask: Tensor) -> Tensor:
    """Return the mean (T,) of -log softmax(scores)[label] over the rows that exist, in nats."""
    shown = torch.where(mask > 0, y, 0).long()
    terms = torch.logsumexp(out, -1) - out.gather(-1, shown[..., None])[..., 0]
    return torch.where(mask > 0, terms, 0.0).sum(-1) / mask.sum(-1)
