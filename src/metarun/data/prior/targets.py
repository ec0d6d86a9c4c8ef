"""Functions of generated tasks: linear, networks, trees, smooth bumps, and hidden nodes; clouds go the other way."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from metarun.data.prior.draws import Array, Draws, standard

HIDDEN, TREES, DEPTH, BUMPS = 12, 6, 3, 10


def relevance(draws: Draws, features: int) -> Array:
    """Return what each feature is worth (tasks, features, 1): all alike, or few, or falling off; one is never lost."""
    keep = (draws.uniform(features) < draws.between(0.1, 2, 1)).astype(np.float32)
    keep[:, 0] = 1
    return (keep * draws.between(0.3, 1.5, features))[..., None]


def linear(draws: Draws, x: Array, worth: Array, outputs: int) -> Array:
    """Return a linear function (tasks, rows, outputs)."""
    return x @ (draws.normal(x.shape[-1], outputs) * worth)


def network(draws: Draws, x: Array, worth: Array, outputs: int) -> Array:
    """Return a random network with one hidden layer, smooth or kinked."""
    hidden = standard(x @ (draws.normal(x.shape[-1], HIDDEN) * worth)) * draws.between(0.5, 3, 1, 1)
    hidden = hidden + draws.normal(1, HIDDEN)
    kinked = draws.chance(0.5, 1, 1) > 0
    found: Array = np.where(kinked, np.maximum(hidden, 0), np.tanh(hidden)) @ draws.normal(HIDDEN, outputs)
    return found


def trees(draws: Draws, x: Array, worth: Array, outputs: int) -> Array:
    """Return a sum of trees that ask the same question at every node of a level."""
    tasks, rows, features = x.shape
    found = np.zeros((tasks, rows, outputs), np.float32)
    chance = np.cumsum(worth[..., 0] / worth[..., 0].sum(1, keepdims=True), 1)
    rest = 1 - draws.chance(0.4, 1, 1)
    for tree in range(TREES):
        leaf = np.zeros((tasks, rows), np.int64)
        pick, bar = draws.uniform(DEPTH), draws.normal(DEPTH) * 0.7
        for level in range(DEPTH):
            feature = np.minimum((pick[:, level, None] > chance).sum(1), features - 1)
            column = np.take_along_axis(x, feature[:, None, None], 2)[..., 0]
            leaf = 2 * leaf + (column > bar[:, level, None])
        values = draws.normal(2**DEPTH, outputs)
        # A single tree has hard regions; a sum of many is nearly additive.
        found = found + np.take_along_axis(values, leaf[..., None], 1) * (rest if tree else np.ones_like(rest))
    return found


def bumps(draws: Draws, x: Array, worth: Array, outputs: int) -> Array:
    """Return a smooth function: bumps around some of the rows, as nearest neighbours see it."""
    scaled = x * worth.swapaxes(1, 2)
    centre = scaled[:, :BUMPS]
    square = (scaled**2).sum(-1)[..., None] + (centre**2).sum(-1)[:, None] - 2 * scaled @ centre.swapaxes(1, 2)
    width = draws.between(0.15, 1.5, 1, 1) * np.maximum(square.mean((1, 2), keepdims=True), 1e-6)
    found: Array = np.exp(-square / width) @ draws.normal(centre.shape[1], outputs)
    return found


FUNCTIONS: tuple[Callable[[Draws, Array, Array, int], Array], ...] = (linear, network, trees, bumps)


def scores(draws: Draws, x: Array, nodes: Array, outputs: int) -> Array:
    """Return standardised functions (tasks, rows, outputs), a kind per task, or mixed with a hidden node."""
    worth = relevance(draws, x.shape[-1])
    kinds = np.stack([standard(f(draws, x, worth, outputs)) for f in FUNCTIONS])
    kind = np.searchsorted((0.3, 0.55, 0.8), draws.uniform()).reshape(-1)
    found = kinds[kind, np.arange(len(x))]
    also = np.where(draws.uniform(1, 1) < 0.3, draws.uniform(1, 1), 0)
    extra = standard(x @ (draws.normal(x.shape[-1], outputs) * worth))
    found = found + (also * extra).astype(np.float32)
    hidden = standard(nodes @ (draws.normal(nodes.shape[-1], outputs) * draws.chance(0.2, nodes.shape[-1], outputs)))
    return standard(np.where(draws.uniform(1, 1) < 0.15, hidden, found).astype(np.float32))
