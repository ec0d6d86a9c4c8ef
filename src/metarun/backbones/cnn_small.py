"""The small network of introductory texts: one convolution, one pooling, one dense layer."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import max_pool2d, relu

from metarun.backbones.encoder import Encoder
from metarun.backbones.image import image
from metarun.backbones.normalisation import Normalisation
from metarun.model import Spec


class SmallCNN(Encoder):
    """`filters` of 3x3 without padding, ReLU, 2x2 max-pooling, a dense layer of `dense` with ReLU; the head follows."""

    vmaps = False

    def __init__(self, filters: int, dense: int, norm: str, *, spec: Spec) -> None:
        super().__init__(norm, spec)
        channels, height, width = image(spec, "cnn_small", 4)
        self.conv, self.conv_norm = nn.Conv2d(channels, filters, 3), Normalisation(norm, filters)
        self.dense = nn.Linear(filters * ((height - 2) // 2) * ((width - 2) // 2), dense)
        self.dense_norm, self.dim = Normalisation(norm, dense), dense

    def embed(self, x: Tensor, counted: Tensor) -> Tensor:
        """Return embeddings (T * B, D) of images (T * B, channels, height, width)."""
        x = max_pool2d(relu(self.conv_norm(self.conv(x), counted)), 2)
        return relu(self.dense_norm(self.dense(x.flatten(1)), counted))
