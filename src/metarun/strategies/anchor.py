"""A pull towards where parameters once were, which EWC, L2-SP and a learned start share.

Of a penalty strength / 2 * (theta - anchor)^2, each weight with a strength of its own or one for all. Li, Grandvalet
and Davoine, ICML 2018 (L2-SP); Kirkpatrick et al., PNAS 2017 (EWC).
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

Parameters = Mapping[str, Tensor]


def pull(theta: Parameters, anchor: Parameters, strength: float) -> dict[str, Tensor]:
    """Return the gradient of the penalty by name."""
    return {name: strength * (value - anchor[name]) for name, value in theta.items()}


def proximal(theta: Parameters, anchor: Parameters, strength: Parameters) -> dict[str, Tensor]:
    """Return the point nearest to theta after the penalty, stable at any strength: a weighted mean of the two."""
    return {n: (value + strength[n] * anchor[n]) / (1 + strength[n]) for n, value in theta.items()}
