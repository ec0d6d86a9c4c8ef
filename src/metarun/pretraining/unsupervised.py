"""What pretraining without labels shares: pixels or features between 0 and 1, and a head that is left behind."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from metarun.model import Model, Spec

Context = dict[str, Tensor]


class Unsupervised(nn.Module):
    """Trains the backbone and a network behind it on inputs alone; labels are never looked at."""

    def __init__(self, epochs: int, batch: int, lr: float, *, model: Model, spec: Spec) -> None:
        super().__init__()
        self.model, self.epochs, self.rows, self.lr, self.shape = model, epochs, batch, lr, tuple(spec.shape)

    def begin(self, labels: Tensor) -> None:
        """Nothing has to be known of the labels."""

    def behind(self, hidden: int, outputs: int) -> nn.Sequential:
        """Return a network of one hidden layer from features (B, D) to outputs."""
        width = self.model.backbone.out_features
        return nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, outputs))

    def finish(self, users: Tensor) -> None:
        """Leave the head at its start."""

    def known(self, context: dict[str, Tensor]) -> Tensor:
        """Return nothing: no class is known."""
        return torch.zeros(0)


def drawn(x: Tensor, generator: torch.Generator, kind: str = "rand") -> Tensor:
    """Return uniform ("rand") or normal ("randn") numbers of the shape and on the device of x."""
    found: Tensor = getattr(torch, kind)(x.shape, generator=generator, device=x.device)
    return found


def unit(x: Tensor) -> Tensor:
    """Return inputs as floats, bytes as 0..1."""
    return x.float() / 255 if x.dtype == torch.uint8 else x
