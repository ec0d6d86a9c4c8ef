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

    def __init__(self, channels: int, down: str, norm: str, precision: str = "float32", *, spec: Spec) -> None:
        """precision: what convolutions multiply in, "float32" or "bfloat16"."""
        super().__init__(norm, spec)
        self.halved = precision == "bfloat16"
        inputs, height, width = image(spec, "conv4")
        self.blocks = nn.ModuleList(Block(inputs if i == 0 else channels, channels, down, norm) for i in range(BLOCKS))
        for _ in range(BLOCKS):
            if down == "stride":
                height, width = (height + 1) // 2, (width + 1) // 2
            elif min(height, width) > 1:
                height, width = height // 2, width // 2
        self.dim = channels * height * width

    def embed(self, x: Tensor, counted: Tensor) -> Tensor:
        """Return embeddings (T * B, D) of images (T * B, channels, height, width)."""
        given, x = x.dtype, channels_last(x)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.halved):
            for block in self.blocks:
                x = block(x, counted)
        return x.flatten(1).to(given)


class Block(nn.Module):
    """Convolution, normalisation, ReLU, and half the height and width."""

    def __init__(self, inputs: int, channels: int, down: str, norm: str) -> None:
        super().__init__()
        # Statistics of several rows take a bias away again.
        stride, bias = 2 if down == "stride" else 1, norm not in POOLED
        self.conv = nn.Conv2d(inputs, channels, 3, stride, padding=1, bias=bias)
        self.norm, self.down = Normalisation(norm, channels), down

    def forward(self, x: Tensor, counted: Tensor) -> Tensor:
        """Return maps (T * B, channels, ...) of maps (T * B, inputs, ...); counted: see `Normalisation`."""
        pool = self.down == "pool" and min(x.shape[2:]) > 1
        if pool and self.norm.kind in POOLED:
            return self.pooled_first(x, counted)
        x = self.conv(x)
        # What no paper has an order for is pooled before it is normalised, when a quarter of the places is left.
        x = max_pool2d(x, 2) if pool else x
        return relu(self.norm(x, counted))

    def pooled_first(self, x: Tensor, counted: Tensor) -> Tensor:
        """Return the same with maps pooled before they are scaled, when a quarter of the places is left.

        The maximum is the same before and behind a scale that rises; a channel whose scale falls is convolved with its
        sign turned.
        """
        weight = self.norm.weight
        assert weight is not None
        sign = torch.where(weight < 0, -1.0, 1.0).to(weight.dtype)
        x = conv2d(x, self.conv.weight * sign.reshape(-1, 1, 1, 1), padding=1)
        slope, offset = self.norm.line(x, counted, weight * sign)
        return relu(along(max_pool2d(x, 2), slope, offset))


def channels_last(x: Tensor) -> Tensor:
    """Return images with channels next to each other in memory, an order that all maps then take.

    On a CPU convolutions take half the time and max-pooling a tenth. `x.contiguous(memory_format=...)` does not know
    vmap and leaves a single channel as it is.
    """
    return x.permute(0, 2, 3, 1).clone(memory_format=torch.contiguous_format).permute(0, 3, 1, 2)
