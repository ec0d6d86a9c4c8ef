"""Arrays as they are."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor

from metarun.backbones.encoder import Encoder
from metarun.model import Spec


class Plain(Encoder):
    """No layers: the features are the inputs, for rules that read rows of numbers themselves."""

    def __init__(self, *, spec: Spec) -> None:
        super().__init__("none", spec)
        self.dim = prod(self.shape)

    @property
    def reads(self) -> torch.dtype:
        """Return the default: there are no weights."""
        return torch.get_default_dtype()

    def embed(self, x: Tensor, counted: Tensor) -> Tensor:
        """Return the inputs (T * B, D)."""
        return x.flatten(1)
