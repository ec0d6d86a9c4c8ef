"""Absolute error: what MAE asks for."""

from __future__ import annotations

from torch import Tensor, nn


class Absolute(nn.Module):
    """|prediction - label| per row, for one output; its best answer is the median, not the mean as squared error's."""

    median = True

    def rows(self, out: Tensor, y: Tensor) -> Tensor:
        """Return the loss (B,) of outputs (B, 1)."""
        return (out[..., 0] - y).abs()

    def residual(self, out: Tensor, y: Tensor) -> Tensor:
        """Return d rows / d out, (B, 1): what makes the gradient of a linear head a closed form."""
        return (out - y[..., None]).sign()
