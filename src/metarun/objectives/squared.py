"""Squared error."""

from __future__ import annotations

from torch import Tensor, nn


class Squared(nn.Module):
    """(prediction - label)^2 per row, for one output."""

    def rows(self, out: Tensor, y: Tensor) -> Tensor:
        """Return the loss (B,) of outputs (B, 1)."""
        return (out[..., 0] - y) ** 2

    def residual(self, out: Tensor, y: Tensor) -> Tensor:
        """Return d rows / d out, (B, 1): what makes the gradient of a linear head a closed form."""
        return 2 * (out - y[..., None])
