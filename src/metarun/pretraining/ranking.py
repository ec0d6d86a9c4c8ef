"""Pretraining on interactions: the items that a user chose above items drawn at random."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.linalg import vecdot

from metarun.errors import MetarunError
from metarun.model import Model, Spec
from metarun.pretraining.users import WHOLE, UserVectors, rows_of

L2 = {"bpr": 0.004, "softmax": 0.02, "implicit": 0.02}
"""What serves each loss on MovieLens, where nothing else is asked for: a bpr loss is the smaller, being a mean."""


class Ranking(UserVectors):
    """The model's ranking objective over interactions, with L2 on what each of them touches.

    A user's weight is the head's start plus a deviation of their own, as in `metarun.pretraining.factorisation`, which
    also says what `drop` is. `share`: so many rows next to each other in the shuffled batch have their sampled items in
    common; what is drawn for a row is as random as before, and looked up that many times less. `l2`: None for L2's.
    Biases need no rows of their own here: the item's offset becomes what its popularity is worth.
    """

    def __init__(
        self,
        epochs: int,
        batch: int,
        lr: float,
        l2: float | None,
        bias_l2: float,
        drop: float,
        share: int,
        *,
        model: Model,
        spec: Spec,
    ) -> None:
        if not hasattr(model.objective, "negatives"):
            raise MetarunError(
                f"pretrain=ranking ranks items, and {type(model.objective).__name__} is no objective for that: "
                "use objective=ranking, or pretrain=matrix_factorisation."
            )
        super().__init__(model, spec, std=0.1)
        self.epochs, self.rows, self.lr = epochs, batch, lr
        self.l2 = L2[model.objective.kind] if l2 is None else l2
        self.bias_l2, self.drop, self.share = bias_l2, drop, share

    def begin(self, labels: Tensor) -> None:
        """Do nothing: without a level to predict there is no mean to start from."""

    @property
    def unit(self) -> int:
        """Rows that are not parted, because they have their sampled items in common."""
        return self.share

    def loss(
        self,
        user: Tensor,
        x: dict[str, Tensor],
        y: Tensor,
        context: dict[str, Tensor],
        generator: torch.Generator,
        part: slice = WHOLE,
    ) -> Tensor:
        """Return what the rows `part`, whole groups, add to the loss () of a batch of interactions (B,)."""
        backbone, whole = self.model.backbone, len(y)
        groups, negatives = -(-whole // self.share), self.model.objective.negatives
        kept = torch.rand(whole, generator=generator, device=y.device) >= self.drop if self.drop else None
        drawn = torch.randint(backbone.items, (groups, negatives), generator=generator, device=y.device)
        user, x, y, context = rows_of((user, x, y, context), part)
        own, chosen, rows = self.users(user), x["item"], len(y)
        if kept is not None:
            own = own * kept[part][:, None]
        first, last, _ = part.indices(whole)
        drawn = drawn[-(-first // self.share) : -(-last // self.share)]
        vector, others = backbone.vector(chosen), backbone.vector(drawn)
        # Split, not sliced: the backward pass of a slice fills a matrix with zeros.
        widths = [vector.shape[-1], own.shape[-1] - vector.shape[-1]]
        taste, level = own.split(widths, -1)
        start_taste, start_level = self.model.head.start(context)[..., 0].split(widths, -1)
        weight = taste + start_taste
        scores = torch.cat([vecdot(vector, weight)[:, None], self.against(weight, others)], 1)
        # The mean over all that was drawn for the batch, in equal shares of its rows.
        drawn_length = vecdot(others, others).sum() / (groups * negatives) * (whole / max(rows, 1))
        penalty = self.l2 * (vecdot(taste, taste) + vecdot(vector, vector) + drawn_length)
        if backbone.bias:
            offsets = backbone.offset(drawn)
            spread = offsets.repeat_interleave(self.share, 0)[:rows]
            scores = scores + torch.cat([backbone.offset(chosen)[:, None], spread], 1) + level + start_level
            penalty = penalty + self.bias_l2 * (level[..., 0].square() + backbone.item_bias[chosen].square())
        terms: Tensor = self.model.objective.rows(scores[..., None], y) + penalty
        return terms.sum() / whole

    def against(self, weight: Tensor, others: Tensor) -> Tensor:
        """Return the scores (B, N) that weights (B, K) give to their group's items (groups, N, K)."""
        rows, dim = weight.shape
        padded = nn.functional.pad(weight, (0, 0, 0, len(others) * self.share - rows))
        scores = padded.reshape(len(others), self.share, dim) @ others.mT
        return scores.flatten(0, 1)[:rows]
