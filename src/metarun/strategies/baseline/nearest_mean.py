"""Nearest class mean on frozen features.

Wang et al., "SimpleShot: revisiting nearest-neighbor classification for few-shot learning", 2019.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from metarun.model import Model
from metarun.rule import Batch, Task
from metarun.strategies.pooled import Pooled


class NearestMean(Pooled):
    """Minus the squared distance to each class mean; nothing is learned.

    `centre`: subtract the mean feature of the training rows first; `unit`: then scale each row to length 1. None, the
    second and both are the paper's UN, L2N and CL2N.
    """

    everyone = True

    middle: Tensor

    def __init__(self, *, model: Model, centre: bool, unit: bool, scale: float) -> None:
        super().__init__(model)
        self.centre, self.unit, self.scale = centre, unit, scale
        self.register_buffer("middle", torch.zeros(self.dim))

    @torch.no_grad()
    def prepare(self, tasks: Iterator[Task]) -> None:
        """Take the mean feature of the training tasks' support rows."""
        if not self.centre:
            return
        sums = [((self.model.embedding(s.x) * s.known[..., None]).sum((0, 1)), s.known.sum()) for _, s, _ in tasks]
        self.middle.copy_(torch.stack([total for total, _ in sums]).sum(0) / torch.stack([n for _, n in sums]).sum())

    def place(self, x: Tensor) -> Tensor:
        """Return where rows lie, (B, D)."""
        embedding = self.model.embedding(x) - self.middle
        return torch.nn.functional.normalize(embedding, dim=-1) if self.unit else embedding

    def encode(self, batch: Batch) -> Tensor:
        """Return what is averaged, (B, D)."""
        return self.place(batch.x)

    def score(self, means: Tensor, x: Tensor) -> Tensor:
        """Return -scale * |query - mean|^2, (B, C)."""
        return -self.scale * (self.place(x)[:, None] - means).square().sum(-1)
