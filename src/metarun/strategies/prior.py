"""The Gaussian prior of a linear head over tasks, by maximum likelihood; no outer loss."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from metarun.model import Model
from metarun.rule import Task
from metarun.strategies.classes import classifies, present
from metarun.strategies.quadratic import Sums, at_start, of_rows, survey

ROUNDS = 25


class Prior(NamedTuple):
    """weight - start(context) ~ N(mean, covariance); label = prediction + N(0, noise)."""

    mean: Tensor  # (D,)
    covariance: Tensor  # (D, D)
    noise: Tensor  # ()


def sums(model: Model, tasks: Iterator[Task]) -> Sums:
    """Return the sums of the labelled support rows of batches of tasks, features encoded; each class is a task."""
    unobserved, everything = getattr(model.objective, "unobserved", 0.0), survey(model)
    parts = []
    for task in tasks:
        start = model.head.start(task.context).expand(len(task.support.y), -1, -1)
        if classifies(model):
            parts.append(one_by_one(of_rows(model, task.support, 0.0, start), present(model, task.context)))
            continue
        before, seen = at_start(everything, unobserved, start), of_rows(model, task.support, unobserved, start)
        parts.append(Sums(*(a + b for a, b in zip(before, seen, strict=True))))
    return Sums(*(torch.cat([getattr(part, name) for part in parts]).double() for name in Sums._fields))


def one_by_one(found: Sums, classes: Tensor) -> Sums:
    """Return the sums of tasks (T, ...) of several classes as of one task for each class that there is (T, C)."""
    kept = torch.nonzero(classes.expand_as(found.loss), as_tuple=True)
    task, kind = kept
    return Sums(found.A[task], found.b[task, :, kind][..., None], found.loss[kept], found.rows[task])


@torch.no_grad()
def estimate(model: Model, tasks: Iterator[Task], rounds: int = ROUNDS) -> Prior:
    """Return the prior under which the training tasks are most likely, by expectation maximisation.

    Dempster, Laird and Rubin, 1977; the empirical-Bayes estimate of Morris, JASA 1983, for a random-coefficient model.
    """
    A, b, loss, rows = sums(model, tasks)
    b = b[..., 0]
    dim = b.shape[-1]
    mean, covariance = b.new_zeros(dim), torch.eye(dim, dtype=b.dtype, device=b.device)
    noise = loss.sum() / rows.sum()
    for _ in range(rounds):
        precision = torch.linalg.inv(covariance)
        spread = torch.linalg.inv(precision + A / noise)
        w = (spread @ (precision @ mean + b / noise)[..., None])[..., 0]
        mean = w.mean(0)
        covariance = ((w - mean)[:, :, None] * (w - mean)[:, None, :] + spread).mean(0)
        fit = loss - 2 * (w * b).sum(-1) + torch.einsum("ti,tij,tj->t", w, A, w)
        noise = (fit + (A * spread).sum((-1, -2))).sum() / rows.sum()
    return Prior(mean.float(), covariance.float(), noise.float())
