"""Features of generated tasks: correlated, clustered, nodes of a random network, heavy-tailed, rounded, binary."""

from __future__ import annotations

import numpy as np

from metarun.data.prior.draws import Array, Draws, standard

CAUSES, CLUSTERS = 8, 4


def causes(draws: Draws, rows: int) -> Array:
    """Return hidden causes and what a random network makes of them (tasks, rows, 3 * CAUSES).

    Hollmann et al., "TabPFN", ICLR 2023: features and target are nodes of one random network.
    """
    root = draws.normal(rows, CAUSES)
    centres = draws.normal(CLUSTERS, CAUSES) * draws.chance(0.4, 1, 1) * draws.between(0.7, 3, 1, 1)
    member = (draws.uniform(rows) * CLUSTERS).astype(np.int64)
    root = root + np.take_along_axis(centres, member[..., None], 1)
    nodes, layer, bend = [root], root, draws.uniform(1, 1)
    for _ in range(2):
        weight = draws.normal(CAUSES, CAUSES) * draws.chance(0.5, CAUSES, CAUSES)
        layer = standard(layer @ weight + 0.3 * draws.normal(rows, CAUSES)) + 0.5 * draws.normal(1, CAUSES)
        layer = np.where(bend < 0.3, layer, np.where(bend < 0.7, np.tanh(2 * layer), np.maximum(layer, 0)))
        nodes.append(layer)
    return standard(np.concatenate(nodes, -1).astype(np.float32))


def inputs(draws: Draws, nodes: Array, features: int) -> Array:
    """Return features (tasks, rows, features) of mean 0 and deviation 1 that share the hidden causes, or do not."""
    rows, width = nodes.shape[1:]
    deep = draws.chance(0.5, 1, 1)
    reach = np.where(deep > 0, width, 1 + np.floor(draws.uniform(1, 1) * CAUSES))
    open_nodes = (np.arange(width) < reach).astype(np.float32).swapaxes(1, 2)
    weight = draws.normal(width, features) * open_nodes
    sharp = draws.between(1, 30, 1, 1)  # a large one picks a node, 1 mixes them all
    weight = weight * np.abs(weight) ** (np.log(sharp))
    signal = standard(nodes @ weight.astype(np.float32))
    share = np.where(draws.uniform(1, 1) < 0.25, 0, draws.uniform(1, features) ** draws.between(0.15, 3, 1, 1))
    found: Array = (signal * share + draws.normal(rows, features) * np.sqrt(1 - share**2)).astype(np.float32)
    return found


def distorted(draws: Draws, x: Array) -> Array:
    """Return features as measured: some with heavy tails, floors, few levels or two; some tasks have none of it."""
    features = x.shape[-1]
    how = draws.uniform(1, features) + draws.between(0.02, 1.2, 1, 1)
    how = np.where(draws.chance(0.3, 1, 1) > 0, 0, how)
    power, levels = draws.between(0.3, 1.2, 1, features), draws.between(0.7, 4, 1, features)
    bar = draws.normal(1, features)
    x = standard(x)
    skewed = np.exp(power * np.clip(x, -4, 4))
    tailed = np.sign(x) * np.abs(x) ** (1 + power)
    rounded = np.floor(x * levels + bar)
    floored = np.maximum(x, 0.8 * bar)
    binary = (x > 0.8 * bar).astype(np.float32)
    found = x
    for bound, kind in ((0.6, skewed), (0.75, tailed), (0.88, floored), (1.0, rounded), (1.4, binary)):
        found = np.where(how > bound, kind, found)
    return standard(found)
