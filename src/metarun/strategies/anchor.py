"""A pull towards where parameters once were, which EWC, L2-SP and a learned start share.

All of it is of one penalty, strength / 2 * sum_i weight_i * (theta_i - anchor_i)^2, every weight 1 unless given. Li,
Grandvalet and Davoine, ICML 2018 (L2-SP); Kirkpatrick et al., PNAS 2017 (EWC, weights of Fisher); Nichol, Achiam and
Schulman, 2018 (Reptile, the anchor is what adapting led to).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

Parameters = Mapping[str, Tensor]


def penalty(
    theta: Parameters, anchor: Parameters, strength: float | Tensor, weight: Parameters | None = None
) -> Tensor:
    """Return the penalty () over all tensors by name; weight: by name, of the same shapes.

    >>> float(penalty({"a": torch.tensor([3.0, 1.0])}, {"a": torch.tensor([1.0, 1.0])}, 0.5))
    1.0
    """
    tied = pull(theta, anchor, strength, weight)
    return torch.stack([(tied[name] * (value - anchor[name])).sum() for name, value in theta.items()]).sum() / 2


def pull(
    theta: Parameters, anchor: Parameters, strength: float | Tensor, weight: Parameters | None = None
) -> dict[str, Tensor]:
    """Return the gradient of the penalty by name."""
    away = {name: strength * (value - anchor[name]) for name, value in theta.items()}
    return away if weight is None else {name: weight[name] * value for name, value in away.items()}


def proximal(
    theta: Parameters, anchor: Parameters, strength: float | Tensor, weight: Parameters | None = None
) -> dict[str, Tensor]:
    """Return the point nearest to theta after the penalty, stable at any strength: a weighted mean of the two."""
    found = {}
    for name, value in theta.items():
        tied = strength if weight is None else strength * weight[name]
        found[name] = (value + tied * anchor[name]) / (1 + tied)
    return found
