"""Items that came after training: their features by fold-in with the roles swapped.

A person's adapted weight is the design, the item's features are what is sought. Prior: mean and covariance of the
features of the catalogue, so what all items share (the column of ones) stays as it is.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metarun.answers.engine import Engine
from metarun.heads.linear import Linear


def weights(engine: Engine, item: Tensor, y: Tensor, known: Tensor) -> Tensor | None:
    """Return the weights of people adapted on padded ratings (T, S), and behind them what they add to every score.

    (T, D + 1); None where scores are not linear.
    """
    head = engine.rule.model.head
    if engine.features is None or not isinstance(head, Linear):
        return None
    # What a linear predictor says of the axes are its weights, beside what it says of nothing.
    design = torch.cat([torch.eye(engine.width), torch.zeros(1, engine.width)])
    said = engine.many(item, y, known, torch.nn.functional.pad(design, (0, 1)) if head.offset else design)
    return torch.cat([said[:, :-1] - said[:, -1:], said[:, -1:]], 1)


def fold_in(
    engine: Engine, weight: Tensor, who: list[NDArray[np.int64]], y: list[Tensor], noise: float, rated: Tensor
) -> Tensor:
    """Return the features (N, D) of new items.

    weight: (T, D) of the people; who, y: per item, the people who rated it and how. noise: variance of a rating.
    rated: (M,) which items of the catalogue the prior is made of. For interactions whoever did not choose counts as 0.
    """
    assert engine.features is not None
    old = engine.features[: engine.known][rated].double()
    mean, covariance = old.mean(0), torch.cov(old.T).reshape(old.shape[1], -1)
    value, vector = torch.linalg.eigh(covariance)
    root = vector * value.clamp(min=0).sqrt()  # covariance = root @ root.T, singular where all items agree
    design = torch.cat([weight, weight.new_ones(len(weight), old.shape[1] - weight.shape[1])], 1).double()
    unobserved = float(getattr(engine.rule.model.objective, "unobserved", 0.0))
    inner = design @ root
    everyone = unobserved * inner.T @ inner
    at_mean = design @ mean
    found = []
    for people, labels in zip(who, y, strict=True):
        part = inner[people]
        A = everyone + (1 - unobserved) * part.T @ part + noise * torch.eye(len(mean), dtype=torch.float64)
        pull = part.T @ (labels.double() - (1 - unobserved) * at_mean[people]) - unobserved * inner.T @ at_mean
        found.append(mean + root @ torch.linalg.solve(A, pull))
    return torch.stack(found).float()
