"""What the backbones of plain arrays have in common: inputs to an embedding, with a 1 behind it for the head's bias."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor, nn

from metarun.backbones.normalisation import SPOKEN
from metarun.errors import MetarunError
from metarun.model import Spec


class Encoder(nn.Module):
    """Inputs (T * B, ...) to features [embedding (D), 1]; a subclass writes `embed` and sets `dim`.

    uint8 inputs are read as 0..1. `norm`: see `Normalisation`.
    """

    dim: int
    constant = True
    context: int = 0
    side: float = 1.0
    offset_last = False
    content = False
    vmaps = True
    """Whether tasks with weights of their own are faster under vmap than one by one on a CPU."""

    def __init__(self, norm: str, spec: Spec) -> None:
        super().__init__()
        if not spec.shape:
            raise MetarunError("this backbone reads plain arrays, which the dataset does not offer: choose backbone=mf")
        self.norm, self.shape = norm, tuple(spec.shape)

    @property
    def pooled(self) -> bool:
        """Whether a row's features depend on the rows beside it."""
        return self.norm in ("support", "query")

    @property
    def spoken(self) -> str:
        """Return the normalisation in words, for every table of accuracies."""
        return SPOKEN[self.norm]

    @property
    def tables(self) -> dict[str, list[str]]:
        """Nothing is looked up by id."""
        return {}

    @property
    def out_features(self) -> int:
        """D + 1, the width of what a head's weight multiplies."""
        return self.dim + 1

    def embed(self, x: Tensor, counted: Tensor) -> Tensor:
        """Return embeddings (T * B, D) of inputs (T * B, ...); counted (T, B): rows that statistics are made of."""
        raise NotImplementedError

    def forward(self, x: Tensor, counted: Tensor | None = None) -> Tensor:
        """Return features (T * B, D + 1); counted: (T, B), (B,) for one task, None if every row counts in one task."""
        x = x.to(self.reads) / 255 if x.dtype == torch.uint8 else x
        counted = x.new_ones(1, len(x)) if counted is None else counted.to(x.dtype).reshape(-1, counted.shape[-1])
        given, wanted = x.shape[1:].numel(), prod(self.shape)
        if given != wanted:
            raise MetarunError(f"rows have {given} numbers and the backbone reads {wanted}: set dataset.padded=true")
        embedding = self.embed(x.reshape(len(x), *self.shape), counted)
        return torch.cat([embedding, embedding.new_ones(len(x), 1)], -1)

    @property
    def reads(self) -> torch.dtype:
        """Return the floating type of the weights; torch's own where all are packed integers."""
        first = next(self.parameters(), None)
        return torch.get_default_dtype() if first is None else first.dtype
