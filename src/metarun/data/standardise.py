"""Features standardised by what has been seen so far: nothing of a later row is used, whatever the size of a block."""

from __future__ import annotations

import torch
from torch import Tensor

LEAST = 1e-12
"""Variances up to here are those of a feature that has been constant so far: it reads 0."""


class Running:
    """Mean and variance of each feature over all rows so far, the row itself included; `state` (2 F + 1,) is all of it.

    A block of any size gives the same numbers as its rows one by one, up to rounding in float64.
    """

    def __init__(self, features: int) -> None:
        self.state = torch.zeros(2 * features + 1, dtype=torch.float64)

    def __call__(self, x: Tensor) -> Tensor:
        """Return rows (B, F) less their running mean, over their running standard deviation, and count them."""
        before, mean, spread = self.state[0], *self.state[1:].chunk(2)
        rows = x.double()
        # Differences to where the block begins: sums of squares of large numbers lose their digits.
        around = rows - rows[:1]
        number = before + torch.arange(1, len(x) + 1, dtype=torch.float64)[:, None]
        shift = mean - rows[0]
        first = before * shift + around.cumsum(0)
        second = spread + before * shift**2 + around.square().cumsum(0)
        centre = first / number
        variance = (second / number - centre**2).clamp(min=0.0)
        known = variance > LEAST
        out = torch.where(known, (around - centre) / torch.where(known, variance, 1.0).sqrt(), 0.0)
        self.state = torch.cat([number[-1], centre[-1] + rows[0], variance[-1] * number[-1]])
        return out.to(x.dtype)
