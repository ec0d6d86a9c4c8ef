"""The quadratic loss of a linear head as sums: what closed forms and priors are made of.

Ratings: sum over rows of (label - offset - x w)^2. Classes: the same for each class, whose label is 1 at its own rows
and 0 at the others. Interactions: the implicit squared loss of Hu, Koren and Volinsky,
ICDM 2008, over the whole catalogue, sum over rows of c (1 - offset - x w)^2 + unobserved * sum over the other items of
(offset + x w)^2, where c is the label. Everything is centred at a weight w0: minus half the gradient there is `b`, the
curvature `A`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from metarun.model import Model
from metarun.rule import Batch
from metarun.strategies.classes import classifies, one_hot


class Everything(NamedTuple):
    """Sums over all items of the catalogue."""

    gram: Tensor  # (D, D)  of x x^T
    pull: Tensor  # (D, 1)  of x * offset
    square: Tensor  # ()  of offset^2
    items: Tensor  # ()


class Sums(NamedTuple):
    """A (..., D, D), b (..., D, C), the loss at w0 (...), of classes (..., C), the rows that it stands for (...)."""

    A: Tensor
    b: Tensor
    loss: Tensor
    rows: Tensor


def ranks(model: Model) -> bool:
    """Return whether rows are interactions, each with items that it is ranked against."""
    return hasattr(model.objective, "unobserved")


@torch.no_grad()
def survey(model: Model) -> Everything:
    """Return the sums over the catalogue, zero where only the rows count."""
    if not ranks(model):
        dim, zero = model.head.weight.shape[0], model.head.weight.new_zeros(())
        return Everything(zero.expand(dim, dim).clone(), zero.expand(dim, 1).clone(), zero, zero)
    design, offset = model.head.split(model.features(model.catalogue()))
    items = offset.new_tensor(float(len(offset)))
    return Everything(design.mT @ design, design.mT @ offset, offset.square().sum(), items)


def at_start(everything: Everything, unobserved: float, start: Tensor) -> Sums:
    """Return the sums before any row, at a weight (..., D, 1): every item counts as not chosen."""
    gram, pull, square, items = everything
    slope = gram @ start + pull
    loss = (start * (slope + pull)).sum((-1, -2)) + square
    A = (unobserved * gram).expand(*start.shape[:-2], *gram.shape)
    return Sums(A, -unobserved * slope, unobserved * loss, unobserved * items.expand(loss.shape))


def of_rows(model: Model, batch: Batch, unobserved: float, start: Tensor) -> Sums:
    """Return the sums of a batch's known rows (..., B), features already encoded, at a weight (..., D, C)."""
    known = batch.known[..., None]
    if not ranks(model):
        design, offset = model.head.split(batch.x)
        of_classes = classifies(model)
        y = one_hot(model, batch) if of_classes else batch.y[..., None]
        residual = torch.where(known > 0, y - offset - design @ start, 0.0)
        masked = (design * known).mT
        loss = residual.square().sum(-2 if of_classes else (-1, -2))
        return Sums(masked @ design, masked @ residual, loss, batch.known.sum(-1))
    chosen = batch.x[..., 0, :] if batch.x.ndim > batch.y.ndim + 1 else batch.x
    design, offset = model.head.split(chosen)
    # What was not chosen is taken back, what was chosen put in its place.
    count = torch.where(known > 0, batch.y[..., None], 0.0)
    extra = count - unobserved * known
    score = offset + design @ start
    masked = (design * extra).mT
    b = design.mT @ (count - extra * score)
    loss = (count * (1 - score).square() - unobserved * known * score.square()).sum((-1, -2))
    return Sums(masked @ design, b, loss, extra.sum((-1, -2)))
