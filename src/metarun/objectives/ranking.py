"""Ranking: what was chosen above sampled items that were not.

A row is one interaction; its outputs are scores of the chosen item (first) and of N items drawn at random (the rest).
Rendle et al., "BPR", UAI 2009; Bengio and Senecal, "Adaptive importance sampling", 2008 (sampled softmax); Hu, Koren
and Volinsky, "Collaborative filtering for implicit feedback datasets", ICDM 2008 (implicit squared loss).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus


class Ranking(nn.Module):
    """`loss`: "bpr", "softmax" or "implicit"; the label of a row is the weight of its interaction.

    `unobserved`: weight of an item without an interaction against one with it: in closed forms, which see the whole
    catalogue, and in "implicit", where the N sampled items stand for it.
    """

    def __init__(self, loss: str, negatives: int, unobserved: float) -> None:
        super().__init__()
        self.kind, self.negatives, self.unobserved = loss, negatives, unobserved

    def rows(self, out: Tensor, y: Tensor) -> Tensor:
        """Return the loss (B,) of outputs (B, 1 + N, 1) and weights (B,)."""
        chosen, others = out[..., :1, 0], out[..., 1:, 0]
        if self.kind == "bpr":
            terms = softplus(others - chosen).mean(-1)
        elif self.kind == "softmax":
            terms = torch.logsumexp(out[..., 0], -1) - chosen[..., 0]
        else:
            terms = (1 - chosen[..., 0]).square() + self.unobserved * others.square().sum(-1)
        return terms * y

    def residual(self, out: Tensor, y: Tensor) -> Tensor:
        """Return d rows / d out, (B, 1 + N, 1)."""
        chosen, others = out[..., :1, 0], out[..., 1:, 0]
        if self.kind == "bpr":
            pulled = torch.sigmoid(others - chosen) / others.shape[-1]
            found = torch.cat([-pulled.sum(-1, keepdim=True), pulled], -1)
        elif self.kind == "softmax":
            share = torch.softmax(out[..., 0], -1)
            found = torch.cat([share[..., :1] - 1, share[..., 1:]], -1)
        else:
            found = torch.cat([2 * (chosen - 1), 2 * self.unobserved * others], -1)
        return (found * y[..., None])[..., None]
