"""Four blocks of 3x3 convolution, normalisation, ReLU and halving: the backbone of the few-shot literature.

Vinyals et al., "Matching networks", NeurIPS 2016 (max-pooling); Finn et al., ICML 2017 (strides on Omniglot).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, max_pool2d, relu

from metarun.backbones.encoder import Encoder
from metarun.backbones.image import image
from metarun.backbones.normalisation import POOLED, Normalisation, along
from metarun.model import Spec

BLOCKS = 4


class Conv4(Encoder):
    """`channels` filters per block; `down`: "pool" halves by 2x2 max-pooling, "stride" by every second convolution.

    Features are the last map, flattened: of 28x28 `channels` under "pool" and 4 * `channels` under "stride". Pooling
    ends where a map is one pixel high or wide, so that small images (8x8) pass all four blocks.
    """

    vmaps = False

    def __init__(self, channels: int, down: str, norm: str, *, spec: Spec) -> None:
        super().__init__(norm, spec)
        inputs, height, width = image(spec, "conv4")
        self.down, stride = down, 2 if down == "stride" else 1
        widths = [inputs, *[channels] * BLOCKS]
        # Statistics of several rows take a bias away again.
        self.convs = nn.ModuleList(
            nn.Conv2d(widths[i], channels, 3, stride, padding=1, bias=norm not in POOLED) for i in range(BLOCKS)
        )
        self.norms = nn.ModuleList(Normalisation(norm, channels) for _ in range(BLOCKS))
        for _ in range(BLOCKS):
            if down == "stride":
                height, width = (height + 1) // 2, (width + 1) // 2
            elif min(height, width) > 1:
                height, width = height // 2, width // 2
        self.dim = channels * height * width
        # Maps take the order of the weights; with channels last, on a CPU, convolutions take half the time and
        # max-pooling a tenth.
        self.to(memory_format=torch.channels_last)

    def embed(self, x: Tensor, counted: Tensor) -> Tensor:
        """Return embeddings (T * B, D) of images (T * B, channels, height, width)."""
        for conv, norm in zip(self.convs, self.norms, strict=True):
            pool = self.down == "pool" and min(x.shape[2:]) > 1
            x = pooled_first(x, conv, norm, counted) if pool and self.pooled else relu(norm(conv(x), counted))
            x = max_pool2d(x, 2) if pool and not self.pooled else x
        return x.flatten(1)


def pooled_first(x: Tensor, conv: nn.Conv2d, norm: Normalisation, counted: Tensor) -> Tensor:
    """Return max-pool of ReLU of normalised convolution, pooled before it is scaled: a quarter of the places is left.

    The maximum is the same before and behind a scale that rises; a channel whose scale falls is convolved with its
    sign turned.
    """
    assert norm.weight is not None
    sign = torch.where(norm.weight < 0, -1.0, 1.0).to(norm.weight.dtype)
    x = conv2d(x, conv.weight * sign.reshape(-1, 1, 1, 1), None, conv.stride, conv.padding)
    slope, offset = norm.line(x, counted, norm.weight * sign)
    return relu(along(max_pool2d(x, 2), slope, offset))
