"""Convolutions over frequency and time whose answer does not depend on when a sound came."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, relu

from metarun.backbones.conv4 import channels_last
from metarun.backbones.encoder import Encoder
from metarun.backbones.image import image
from metarun.backbones.normalisation import Normalisation
from metarun.model import Spec

BLOCKS = 3


class AudioCNN(Encoder):
    """Three blocks of 3x3 convolution, normalisation, ReLU and halving; then mean and maximum over time of each band.

    The first block has `channels` filters, the others twice as many.
    """

    vmaps = False

    def __init__(self, channels: int, norm: str, *, spec: Spec) -> None:
        super().__init__(norm, spec)
        inputs, bands, _ = image(spec, "audio_cnn", 2**BLOCKS)
        widths = [inputs, channels, 2 * channels, 2 * channels]
        self.convs = nn.ModuleList(nn.Conv2d(widths[i], widths[i + 1], 3, padding=1) for i in range(BLOCKS))
        self.norms = nn.ModuleList(Normalisation(norm, width) for width in widths[1:])
        self.dim = 2 * widths[-1] * (bands // 2**BLOCKS)

    def embed(self, x: Tensor, counted: Tensor) -> Tensor:
        """Return embeddings (T * B, D) of spectrograms (T * B, 1, bands, frames)."""
        x = channels_last(x)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = max_pool2d(relu(norm(conv(x), counted)), 2)
        return torch.cat([x.mean(3), x.amax(3)], 1).flatten(1)
