"""What pretraining tasks share: vectors of the users that it sees, as deviations from the head's start."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from metarun.model import Model, Spec

Rows = TypeVar("Rows")
WHOLE = slice(None)


def rows_of(batch: Rows, part: slice) -> Rows:
    """Return some rows of every tensor of a batch."""
    found: Rows = batch if part == WHOLE else tree_map(lambda leaf: leaf[part], batch)
    return found


class UserVectors(nn.Module):
    """A model and one vector per user beside the head's start; biases among its entries begin at 0."""

    def __init__(self, model: Model, spec: Spec, std: float) -> None:
        """std: of the tastes that training starts from."""
        super().__init__()
        self.model = model
        self.users = nn.Embedding(spec.sizes["user"], model.backbone.out_features)
        nn.init.normal_(self.users.weight, std=std)
        with torch.no_grad():
            self.users.weight[:, model.backbone.vectors.embedding_dim :] = 0.0

    @torch.no_grad()
    def finish(self, users: Tensor) -> None:
        """Move the head's start to the mean user; rows are dominated by a few active ones.

        users: numbers (N,) of the users that have source rows.
        """
        mean = self.users.weight[users].mean(0)
        self.model.head.weight += mean[:, None]
        self.users.weight -= mean

    def known(self, context: dict[str, Tensor]) -> Tensor:
        """Return the weights (users, D) of the users that pretraining saw."""
        start: Tensor = self.model.head.start(context)[..., 0]
        return self.users.weight + start
