"""Several named inputs, each through a network of its own; what is there is averaged, so any of them may be missing."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import relu

from metarun.backbones.audio_cnn import BLOCKS, AudioCNN
from metarun.backbones.encoder import Encoder
from metarun.backbones.mlp import MLP
from metarun.data.named import segments
from metarun.errors import MetarunError
from metarun.model import Spec


class Fusion(Encoder):
    """Images and spectrograms go through convolutions (`AudioCNN`), others through one layer; each to `width` features.

    The embedding is the mean over the inputs that a row has.
    """

    vmaps = False

    def __init__(self, width: int, channels: int, norm: str, *, spec: Spec) -> None:
        """width: D; channels: filters of the first block, where an input is an image."""
        super().__init__(norm, spec)
        if not spec.inputs:
            raise MetarunError(
                "backbone=fusion reads several named inputs, which the dataset does not have: choose mlp"
            )
        self.inputs, self.dim = dict(spec.inputs), width
        self.encoders, self.layers = nn.ModuleDict(), nn.ModuleDict()
        for name, shape in self.inputs.items():
            own = Spec(shape=shape)
            image = len(shape) == 3 and min(shape[1:]) >= 2**BLOCKS
            encoder: Encoder = AudioCNN(channels, norm, spec=own) if image else MLP([width], norm, spec=own)
            self.encoders[name], self.layers[name] = encoder, nn.Linear(encoder.dim, width)

    def embed(self, x: Tensor, counted: Tensor) -> Tensor:
        """Return embeddings (T * B, D) of rows (T * B, ...), see `data.named`."""
        total, there = x.new_zeros(len(x), self.dim), x.new_zeros(len(x), 1)
        for name, part in segments(self.inputs).items():
            mark, own = x[:, part.start : part.start + 1], x[:, part.start + 1 : part.stop]
            encoder, layer = self.encoders[name], self.layers[name]
            assert isinstance(encoder, Encoder)
            features = encoder.embed(own.reshape(len(x), *self.inputs[name]), counted)
            total, there = total + mark * relu(layer(features)), there + mark
        return total / there.clamp(min=1e-6)
