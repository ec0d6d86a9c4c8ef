"""What rules for classes share: which class a row has, which classes a task has, and scores that keep to those."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from metarun.model import Model, among, readable
from metarun.rule import Batch


def classifies(model: Model) -> bool:
    """Return whether labels are classes."""
    return bool(getattr(model.objective, "classifies", False))


def one_hot(model: Model, batch: Batch) -> Tensor:
    """Return labels (..., B) as (..., B, C): 1 at the row's class, 0 everywhere where the label is hidden."""
    classes = torch.arange(model.head.weight.shape[1], device=batch.y.device)
    hit = readable(batch.y, batch.known)[..., None] == classes
    return hit.to(model.head.weight.dtype) * batch.known[..., None]


def present(model: Model, context: dict[str, Any]) -> Tensor:
    """Return 1 (..., C) where the task has the class; every class where the context does not say."""
    every = torch.ones_like(model.head.weight[0])
    return every * context["classes"] if "classes" in context else every


def seen_first(out: Tensor, rows: Tensor, classes: Tensor) -> Tensor:
    """Return scores (B, C) where a class without rows is no likelier than the least likely that has some.

    rows (C,): support rows of each class; without any all classes score 0. Absent classes (C,) are closed.
    """
    seen = rows > 0
    least = torch.where(seen, out, torch.inf).amin(-1, keepdim=True)
    filled = torch.where(seen, out, torch.where(rows.sum() > 0, least, 0.0))
    return among(filled, classes)
