"""The Gaussian prior of a linear head over tasks, by maximum likelihood; no outer loss."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from metarun.model import Model
from metarun.rule import Task

ROUNDS = 25


class Prior(NamedTuple):
    """weight - start(context) ~ N(mean, covariance); label = prediction + N(0, noise)."""

    mean: Tensor  # (D,)
    covariance: Tensor  # (D, D)
    noise: Tensor  # ()


class Sums(NamedTuple):
    """Sufficient statistics of T tasks: A (T, D, D), b (T, D), yy (T,), n (T,)."""

    A: Tensor
    b: Tensor
    yy: Tensor
    n: Tensor


def sums(model: Model, tasks: Iterator[Task]) -> Sums:
    """Return the statistics of the labelled support rows of batches of tasks, features encoded, one output."""
    parts = []
    for task in tasks:
        design, offset = model.head.split(task.support.x)
        residual = task.support.y[..., None] - offset - design @ model.head.start(task.context)
        residual = torch.where(task.support.known[..., None] > 0, residual, 0.0)
        masked = (design * task.support.known[..., None]).mT
        b, yy = (masked @ residual)[..., 0], (residual**2).sum((-1, -2))
        parts.append(Sums(masked @ design, b, yy, task.support.known.sum(-1)))
    return Sums(*(torch.cat([getattr(part, name) for part in parts]).double() for name in Sums._fields))


@torch.no_grad()
def estimate(model: Model, tasks: Iterator[Task], rounds: int = ROUNDS) -> Prior:
    """Return the prior under which the training tasks are most likely, by expectation maximisation.

    Dempster, Laird and Rubin, 1977; the empirical-Bayes estimate of Morris, JASA 1983, for a random-coefficient model.
    """
    s = sums(model, tasks)
    dim = s.b.shape[-1]
    mean, covariance = s.b.new_zeros(dim), torch.eye(dim, dtype=s.b.dtype, device=s.b.device)
    noise = s.yy.sum() / s.n.sum()
    for _ in range(rounds):
        precision = torch.linalg.inv(covariance)
        spread = torch.linalg.inv(precision + s.A / noise)
        w = (spread @ (precision @ mean + s.b / noise)[..., None])[..., 0]
        mean = w.mean(0)
        covariance = ((w - mean)[:, :, None] * (w - mean)[:, None, :] + spread).mean(0)
        fit = s.yy - 2 * (w * s.b).sum(-1) + torch.einsum("ti,tij,tj->t", w, s.A, w)
        noise = (fit + (s.A * spread).sum((-1, -2))).sum() / s.n.sum()
    return Prior(mean.float(), covariance.float(), noise.float())
