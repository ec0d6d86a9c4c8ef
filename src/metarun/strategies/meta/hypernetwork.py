"""A network that writes the head from the support set, in one forward pass.

Ha, Dai and Le, "Hypernetworks", ICLR 2017; for classes Qiao et al., "Few-shot image recognition by predicting
parameters from activations", CVPR 2018, and Gidaris and Komodakis, CVPR 2018.
"""

from __future__ import annotations

from torch import Tensor, nn

from metarun.model import Model
from metarun.rule import Batch, State
from metarun.strategies.pooled import Pooled, layers


class Hypernetwork(Pooled):
    """The weights of a class are a function of the mean of its embedded rows, the same function for every class.

    Regression: the weights are the learned start plus a function of the mean of the encoded rows (x, y). `hidden`:
    layers of the function, none for a linear one; `encoder` and `width`: layers and length of an encoded row.
    """

    def __init__(self, *, model: Model, hidden: list[int], encoder: list[int], width: int) -> None:
        super().__init__(model)
        self.encoder: nn.Module | None = None
        if not self.classifies:
            self.width = width
            self.encoder = layers([self.dim + 1, *encoder, width])
        self.writer = layers([self.width, *hidden, model.head.weight.shape[0]])

    def encode(self, batch: Batch) -> Tensor:
        """Return what is averaged, (B, W)."""
        if self.encoder is None:
            return super().encode(batch)
        out: Tensor = self.encoder(self.labelled(batch))
        return out

    def weight(self, means: Tensor) -> Tensor:
        """Return the head (D, C) that the means (C, W) call for."""
        written: Tensor = self.writer(means).mT
        return written if self.classifies else self.model.head.weight + written

    def score(self, means: Tensor, x: Tensor) -> Tensor:
        """Return outputs (B, C) of the written head."""
        out: Tensor = self.model.head(self.weight(means), x)
        return out

    def commit(self, state: State) -> dict[str, Tensor]:
        """Return the written head."""
        return {"head.weight": self.weight(self.means(state))}
