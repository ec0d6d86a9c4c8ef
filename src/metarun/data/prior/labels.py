"""From functions to labels: classes by the largest score, by bands of one score, or as clouds of features."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metarun.data.prior.draws import Array, Draws, standard
from metarun.data.prior.targets import relevance

Labels = NDArray[np.int64]
LOBES = 3


def proportions(draws: Draws, ways: Labels, classes: int) -> Array:
    """Return how frequent each class is (tasks, classes); 0 from `ways` (tasks,) on, equal in a third of the tasks."""
    raw = np.exp(draws.normal(classes) * draws.uniform(1) * 1.2 * (draws.uniform(1) > 0.33))
    raw = raw * (np.arange(classes) < ways[:, None])
    found: Array = (raw / raw.sum(1, keepdims=True)).astype(np.float32)
    return found


def clouds(draws: Draws, x: Array, share: Array) -> tuple[Array, Labels]:
    """Return features moved to where their class is, and the classes: one cloud or several, of own sizes."""
    rows, features = x.shape[1:]
    classes = share.shape[1]
    y = np.minimum((draws.uniform(rows)[..., None] > np.cumsum(share, 1)[:, None]).sum(-1), classes - 1)
    lobes = np.where(draws.uniform(1) < 0.6, 1, 1 + np.floor(draws.uniform(1) * LOBES))
    lobe = np.floor(draws.uniform(rows) * lobes).astype(np.int64)
    worth = relevance(draws, features).swapaxes(1, 2)
    dense = worth.astype(bool).sum(-1, keepdims=True).astype(np.float32)
    apart = draws.between(0.5, 4, 1, 1) * dense ** (-0.5 * draws.uniform(1, 1))
    centre = draws.normal(classes * LOBES, features) * worth * apart
    size = np.exp(draws.normal(classes, features) * 0.4 * draws.uniform(1, 1) * draws.chance(0.5, 1, 1))
    place = np.take_along_axis(centre, (y * LOBES + lobe)[..., None], 1)
    return x * np.take_along_axis(size, y[..., None], 1) + place, y


def largest(draws: Draws, score: Array, ways: Labels) -> Labels:
    """Return the class of the largest score (tasks, rows, classes), biased towards some classes."""
    score = score + draws.normal(1, score.shape[-1]) * 0.7 * draws.uniform(1, 1)
    score = np.where(np.arange(score.shape[-1]) < ways[:, None, None], score, -np.inf)
    found: Labels = score.argmax(-1)
    return found


def bands(draws: Draws, score: Array, share: Array) -> Labels:
    """Return the class by the rank of a score (tasks, rows); classes are in no order."""
    rank = (score.argsort(1).argsort(1) + 0.5) / score.shape[1]
    band = (rank[..., None] > np.cumsum(share, 1)[:, None]).sum(-1)
    band = np.minimum(band, share.shape[1] - 1)
    key = np.where(share > 0, draws.uniform(share.shape[1]), 2)
    found: Labels = np.take_along_axis(key.argsort(1), band, 1)
    return found


def noisy(draws: Draws, y: Labels, ways: Labels) -> Labels:
    """Return classes of which some are wrong, in half of the tasks."""
    rate = np.where(draws.uniform(1) < 0.5, 0, 0.3 * draws.uniform(1))
    other = np.floor(draws.uniform(y.shape[1]) * ways[:, None]).astype(np.int64)
    return np.where(draws.uniform(y.shape[1]) < rate, other, y)


def noise(draws: Draws, score: Array) -> Array:
    """Return scores (tasks, rows, outputs) under noise, little or much, in some tasks with heavy tails."""
    size = draws.between(0.02, 1.5, 1, 1)
    e = draws.normal(*score.shape[1:])
    tails = draws.chance(0.2, 1, 1)
    e = np.where(tails > 0, np.sign(e) * np.abs(e) ** 2, e)
    return standard(score + size * e)


def skewed(draws: Draws, y: Array) -> Array:
    """Return numbers (tasks, rows) of which some tasks have a long tail, above or below."""
    power = draws.between(0.2, 0.9, 1) * np.where(draws.uniform(1) < 0.5, -1, 1)
    return np.where(draws.uniform(1) < 0.3, standard(np.exp(power * y) * np.sign(power)), y).astype(np.float32)
