"""Pretraining by matrix factorisation: item vectors that stay, user vectors that only served to find them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.linalg import vecdot

from metarun.model import Model, Spec
from metarun.pretraining.users import WHOLE, UserVectors, rows_of


class Factorisation(UserVectors):
    """Squared error over observed ratings with L2 on what each rating touches.

    A user's weight is the head's start plus a deviation of their own; L2 pulls the deviation, not the start, to zero.
    `drop`: share of the ratings that are predicted from the start alone, as for an unseen user (Volkovs, Yu and
    Poutanen, "DropoutNet", NIPS 2017). `drop_items`: share predicted from what is known about the item, as for an
    item nobody rated; without such content nothing is dropped.
    `loss`: "mean" over the batch, or "half_sum", the plain 1/2 sum (M - U V^T)^2 of Salakhutdinov and Mnih,
    "Probabilistic matrix factorization", NIPS 2007, without its priors if l2 = 0.
    """

    rated: Tensor

    def __init__(
        self,
        epochs: int,
        batch: int,
        lr: float,
        l2: float,
        bias_l2: float,
        drop: float,
        drop_items: float,
        loss: str,
        *,
        model: Model,
        spec: Spec,
    ) -> None:
        super().__init__(model, spec, std=0.1)
        self.epochs, self.rows, self.lr = epochs, batch, lr
        self.l2, self.bias_l2, self.kind, self.drop = l2, bias_l2, loss, drop
        self.drop_items = drop_items if model.backbone.content else 0.0
        self.register_buffer("rated", torch.zeros(spec.sizes["item"], dtype=torch.bool))

    def begin(self, ratings: Tensor) -> None:
        """Set the global mean from the source ratings."""
        if self.model.backbone.bias:
            self.model.backbone.mean.copy_(ratings.mean())

    def loss(
        self,
        user: Tensor,
        x: dict[str, Tensor],
        y: Tensor,
        context: dict[str, Tensor],
        generator: torch.Generator,
        part: slice = WHOLE,
    ) -> Tensor:
        """Return what the rows `part` add to the loss () of a batch of ratings (B,); chance is that of the batch."""
        rows, known = len(y), None
        self.rated[x["item"]] = True
        kept = torch.rand(rows, generator=generator, device=y.device) >= self.drop if self.drop else None
        if self.drop_items:
            known = (torch.rand(rows, generator=generator, device=y.device) >= self.drop_items).to(y)[part]
        user, x, y, context = rows_of((user, x, y, context), part)
        backbone, own, item = self.model.backbone, self.users(user), x["item"]
        if kept is not None:
            own = own * kept[part][:, None]
        vector = backbone.vector(item, known)
        # Split, not sliced: the backward pass of a slice fills a matrix with zeros.
        widths = [vector.shape[-1], own.shape[-1] - vector.shape[-1]]
        taste, level = own.split(widths, -1)
        start_taste, start_level = self.model.head.start(context)[..., 0].split(widths, -1)
        out = vecdot(vector, taste + start_taste)
        penalty = self.l2 * (vecdot(taste, taste) + vecdot(vector, vector))
        if backbone.bias:
            out = out + (level + start_level)[..., 0] + backbone.offset(item, known)
            penalty = penalty + self.bias_l2 * (level[..., 0].square() + backbone.item_bias[item].square())
        terms: Tensor = (out - y).square() + penalty
        return terms.sum() / rows if self.kind == "mean" else 0.5 * terms.sum()

    @torch.no_grad()
    def finish(self, users: Tensor) -> None:
        """Move the head's start to the mean user of `users` (N,), and leave items nobody rated to their content.

        Nothing is kept of the random start of their own vectors: what is known about them alone predicts them.
        """
        backbone = self.model.backbone
        backbone.vectors.weight.mul_(self.rated[:, None])
        if backbone.bias:
            backbone.item_bias.mul_(self.rated)
        super().finish(users)
