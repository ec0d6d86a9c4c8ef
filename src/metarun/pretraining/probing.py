"""What frozen features are worth: a linear probe and nearest neighbours on labelled rows that pretraining never saw.

Alain and Bengio, "Understanding intermediate layers using linear classifier probes", 2016; the k-NN score of Wu et al.,
"Unsupervised feature learning via non-parametric instance discrimination", CVPR 2018.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, one_hot

from metarun.results import KEYS

NEIGHBOURS = 5
BLOCK = 512


class Labelled(NamedTuple):
    """Rows to fit on, and others to be right about."""

    x: Tensor  # (N, ...)
    y: Tensor  # (N,) from 0 to C - 1
    asked: Tensor  # (M, ...)
    truth: Tensor  # (M,)


class Worth(NamedTuple):
    """Shares of rows that are right."""

    linear_probe: float
    knn: float


Look = tuple[int, float, float]
"""A step, and what the features were worth before it."""


def worth(backbone: nn.Module, rows: Labelled) -> Worth:
    """Return what the features of a backbone are worth as it stands; it is not changed."""
    with torch.no_grad():
        known, asked = (
            torch.cat([backbone(part) for part in torch.split(x, BLOCK)]).double() for x in (rows.x, rows.asked)
        )
    classes = int(rows.y.max()) + 1
    mean, spread = known.mean(0), known.std(0).clamp(min=1e-6)
    linear = ridge((known - mean) / spread, rows.y, (asked - mean) / spread, classes)
    near = neighbours(normalize(known - mean, dim=1), rows.y, normalize(asked - mean, dim=1), classes)
    return Worth(*((found == rows.truth).double().mean().item() for found in (linear, near)))


def ridge(x: Tensor, y: Tensor, asked: Tensor, classes: int) -> Tensor:
    """Return classes (M,) by least squares on standardised features, with a penalty of a hundredth of the rows."""
    x, asked = (torch.cat([part, part.new_ones(len(part), 1)], 1) for part in (x, asked))
    penalty = 0.01 * len(x) * torch.eye(x.shape[1], dtype=x.dtype)
    weight = torch.linalg.solve(x.mT @ x + penalty, x.mT @ one_hot(y, classes).to(x))
    out: Tensor = asked @ weight
    return out.argmax(1)


def neighbours(x: Tensor, y: Tensor, asked: Tensor, classes: int) -> Tensor:
    """Return the commonest class (M,) among the nearest rows by cosine, weighted by it."""
    near, place = (asked @ x.mT).topk(min(NEIGHBOURS, len(x)), 1)
    votes: Tensor = (one_hot(y[place], classes) * (1 + near)[..., None]).sum(1)
    return votes.argmax(1)


def told(looks: list[Look]) -> str:
    """Return in words what features were worth at the first look and at the last."""
    (_, *first), (_, *last) = looks[0], looks[-1]
    named = zip(Worth._fields, first, last, strict=True)
    found = ", ".join(f"{name.replace('_', ' ')} {a:.3f} -> {b:.3f}" for name, a, b in named)
    return f"frozen features on validation classes, untrained -> pretrained: {found}"


def look_rows(looks: list[Look], number: int, key: str, seed: int) -> list[dict[str, Any]]:
    """Return all looks as lines of metrics, of a round and a stage."""
    same = {"round": number, "stage": key, "split": "validation", "protocol": "frozen features", "method": "pretrain"}
    return [
        dict.fromkeys(KEYS) | same | {"step": step, "metric": metric, "value": value, "seed": seed}
        for step, *values in looks
        for metric, value in zip(Worth._fields, values, strict=True)
    ]
