"""Generated streams of known concepts: a label depends on the features by a concept, and concepts come and go."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from metarun.data.streamed import Rows

STRENGTH = 8.0
"""Length of a concept: the log-loss of who knows it is about 1.31 over it, .16."""


def schedule(
    drift: str, rows: int, every: int, width: int, concepts: int, draws: np.random.Generator
) -> tuple[NDArray[np.int64], list[int]]:
    """Return the concept (rows,) of each row, and the rows at which another concept begins.

    "none", one concept; "abrupt", a new one every `every` rows; "recurring", `concepts` of them in turn; "gradual", a
    new one whose rows become likelier over `width` rows.
    """
    row = np.arange(rows)
    stretch = row // every if drift != "none" else np.zeros(rows, np.int64)
    if drift == "gradual":
        into = row - stretch * every
        early = (stretch > 0) & (into < width) & (draws.random(rows) > into / max(width, 1))
        stretch = stretch - early
    edges = list(range(every, rows, every)) if drift != "none" else []
    return (stretch % concepts if drift == "recurring" else stretch), edges


def generate(
    drift: str, rows: int, features: int, every: int, width: int, concepts: int, noise: float, seed: int
) -> Rows:
    """Return rows of standard normal features, classes drawn by a logistic concept; noise: share of flipped labels.

    Each concept is a direction of its own.
    """
    draws = np.random.default_rng([seed, 7])
    concept, edges = schedule(drift, rows, every, width, concepts, draws)
    weight = np.random.default_rng([seed, 8]).normal(size=(int(concept.max()) + 1, features))
    weight *= STRENGTH / np.linalg.norm(weight, axis=1, keepdims=True)
    x = draws.normal(size=(rows, features)).astype(np.float32)
    score = np.einsum("nf,nf->n", x, weight[concept])
    y = (draws.random(rows) < 1 / (1 + np.exp(-score))) ^ (draws.random(rows) < noise)
    names = [f"x{number}" for number in range(features)]
    told = f"drifting/{drift}"
    checksum = repr((drift, rows, features, every, width, concepts, noise, seed))
    return Rows(torch.from_numpy(x), torch.from_numpy(y.astype(np.int64)), names, ["0", "1"], edges, told, checksum)
