"""What clinicians ask of a prediction of two classes, one value per task; the second is what is looked for."""

from __future__ import annotations

import torch
from torch import Tensor

from metarun.protocols.labels import Metric


def chance(out: Tensor) -> Tensor:
    """Return the predicted probability (T, Q) of the second of two classes, from scores (T, Q, 2)."""
    return torch.softmax(out.double(), -1)[..., 1]


def auroc(out: Tensor, y: Tensor, mask: Tensor) -> Tensor:
    """Return the chance (T,) that a row of the second class scores above one of the first, ties counting half.

    nan where a task asks about one class alone. Hanley and McNeil, Radiology 143(1), 1982.
    """
    score = chance(out)
    above = (score[..., :, None] > score[..., None, :]).double() + 0.5 * (score[..., :, None] == score[..., None, :])
    pair = ((y == 1) * mask)[..., :, None] * ((y == 0) * mask)[..., None, :]
    return (above * pair).sum((-1, -2)) / pair.sum((-1, -2))


def sensitivity(out: Tensor, y: Tensor, mask: Tensor) -> Tensor:
    """Return the share (T,) of the rows of the second class that are found; nan where there is none."""
    return _found(out, y == 1, mask, 1)


def specificity(out: Tensor, y: Tensor, mask: Tensor) -> Tensor:
    """Return the share (T,) of the rows of the first class that are left alone; nan where there is none."""
    return _found(out, y == 0, mask, 0)


def brier(out: Tensor, y: Tensor, mask: Tensor) -> Tensor:
    """Return the mean squared distance (T,) of the probability from what happened; Brier, 1950."""
    return ((chance(out) - y).square() * mask).sum(-1) / mask.sum(-1)


def of_two() -> dict[str, Metric]:
    """Return the metrics of two classes by name."""
    return {"auroc": auroc, "sensitivity": sensitivity, "specificity": specificity, "brier": brier}


def _found(out: Tensor, mine: Tensor, mask: Tensor, kind: int) -> Tensor:
    counted = (mine * mask).double()
    return ((out.argmax(-1) == kind) * counted).sum(-1) / counted.sum(-1)
