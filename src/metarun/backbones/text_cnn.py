"""One convolution over tokens per width, and the maximum over places.

Kim, "Convolutional neural networks for sentence classification", EMNLP 2014.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, relu

from metarun.backbones.text import TextEncoder, most
from metarun.model import Spec


class TextCNN(TextEncoder):
    """`channels` filters of each of the `sizes` (tokens that a filter sees), ReLU, maximum over places."""

    def __init__(self, width: int, channels: int, sizes: list[int], *, spec: Spec) -> None:
        super().__init__(width, spec)
        self.sizes, self.dim = list(sizes), channels * len(sizes)
        self.filters = nn.ModuleList(nn.Linear(size * width, channels) for size in sizes)

    def encoded(self, vectors: Tensor, there: Tensor, tokens: Tensor) -> Tensor:
        """Return the maxima (B, sizes * channels); a filter that begins at a token may end behind the text, on 0."""
        found = []
        for size, filtered in zip(self.sizes, self.filters, strict=True):
            # Windows side by side and a product: convolutions with weights of each task are slow under vmap.
            wide = pad(vectors, (0, 0, 0, size - 1))
            windows = torch.cat([wide[..., i : i + vectors.shape[-2], :] for i in range(size)], -1)
            found.append(most(relu(filtered(windows)), there))
        return torch.cat(found, -1)
