"""Relation networks: a learned comparison of query and class in place of a distance.

Sung et al., "Learning to compare: relation network for few-shot learning", CVPR 2018.
"""

from __future__ import annotations

from torch import Tensor

from metarun.model import Model
from metarun.strategies.pooled import Pooled, layers, pairs


class Relation(Pooled):
    """A network of `hidden` layers reads [query, class mean] and returns the score.

    The paper squeezes scores into 0..1 and fits them by squared error; here they are what the objective reads, so with
    cross-entropy classes compete. The paper adds up the rows of a class; their mean does not depend on the shots.
    """

    def __init__(self, *, model: Model, hidden: list[int]) -> None:
        super().__init__(model)
        self.compare = layers([2 * self.dim, *hidden, 1])

    def score(self, means: Tensor, x: Tensor) -> Tensor:
        """Return the relation of each query with each class, (B, C)."""
        out: Tensor = self.compare(pairs(self.model.embedding(x), means))
        return out[..., 0]
