"""Cross-entropy of classes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot


class CrossEntropy(nn.Module):
    """-log softmax(outputs)[label] per row; labels are whole numbers from 0 to C - 1."""

    classifies = True

    def rows(self, out: Tensor, y: Tensor) -> Tensor:
        """Return the loss (B,) of outputs (B, C) and labels (B,)."""
        return torch.logsumexp(out, -1) - out.gather(-1, y[..., None].long())[..., 0]

    def residual(self, out: Tensor, y: Tensor) -> Tensor:
        """Return d rows / d out, (B, C): what makes the gradient of a linear head a closed form."""
        return torch.softmax(out, -1) - one_hot(y.long(), out.shape[-1]).to(out.dtype)
