"""Implicit alternating least squares: user and item vectors in closed form, in turns.

Hu, Koren and Volinsky, "Collaborative filtering for implicit feedback datasets", ICDM 2008; regularisation by frequency
and the unobserved weight after Rendle et al., "Revisiting the performance of iALS on item recommendation benchmarks",
RecSys 2022. Shapes: E entities (users or items) with rows, N rows of an entity, K width of the vectors.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from metarun.backbones.mf import MatrixFactorisation
from metarun.backbones.mf_features import FeatureFactorisation
from metarun.errors import MetarunError
from metarun.model import Model, Spec
from metarun.pretraining.users import UserVectors

CELLS = 2**20
"""Numbers in a temporary tensor: 4 MiB in float32, small enough for the cache; a block has three of them."""


class ImplicitALS(UserVectors):
    """sum over rows of v (w.x - 1)^2 + unobserved * sum over all users and items of (w.x)^2 + L2, v the row's value.

    The L2 of an entity with n rows is l2 * (n + unobserved * N)^power, N the number of vectors on the other side.
    A state_dict between two sweeps is all there is to resume from. Entities without a row have zero vectors.
    """

    def __init__(self, sweeps: int, unobserved: float, l2: float, power: float, *, model: Model, spec: Spec) -> None:
        check(model.backbone)
        super().__init__(model, spec, std=0.0)
        self.sweeps = sweeps
        self.unobserved, self.l2, self.power = unobserved, l2, power
        self.sides: tuple[Any, Side, Side] | None = None

    def begin(self, labels: Tensor) -> None:
        """Check the values of the source rows, which weigh their interactions.

        Raises:
            MetarunError: a value that is no weight.
        """
        if not (labels > 0).all():
            raise MetarunError(
                f"pretrain=ials reads the value of a row as its weight, which has to be above 0, and found "
                f"{float(labels.min()):g}: set dataset.positive, so that every row weighs 1, or use another pretrain."
            )

    @torch.no_grad()
    def sweep(self, number: int, source: Any) -> None:
        """Solve for all users given the items, then for all items given the users; the same for the same weights.

        source: metarun.data.recommendation.Source; its rows are grouped at the first sweep over it.
        """
        items, start = self.model.backbone.vectors.weight, self.model.head.weight[:, 0]
        if self.sides is None or self.sides[0] is not source:
            self.sides = (source, *self.grouped(source))
        _, by_user, by_item = self.sides
        items *= (by_item.count > 0)[:, None]
        users = self.solved(by_user, items)
        items.copy_(self.solved(by_item, users))
        self.users.weight.copy_(users - start)

    def grouped(self, source: Any) -> tuple[Side, Side]:
        """Return the source rows by user and by item."""
        device = self.users.weight.device
        user, item, value = (
            column.index_select(0, source.kept).to(device)
            for column in (source.user, source.columns.item, source.columns.value)
        )
        users, items = self.users.num_embeddings, self.model.backbone.vectors.num_embeddings
        return Side(user, item, value, (users, items)), Side(item, user, value, (items, users))

    def solved(self, side: Side, fixed: Tensor) -> Tensor:
        """Return the vectors of one side (E, K) given those of the other."""
        dim = fixed.shape[1]
        unobserved = self.unobserved * (fixed.mT @ fixed)
        with_none = torch.cat([fixed, fixed.new_zeros(1, dim)])
        found = fixed.new_zeros(len(side.count), dim)
        target = embedding_bag(side.other, fixed, side.first, mode="sum", per_sample_weights=side.value)
        for entities in side.blocks(dim):
            matrix = unobserved.repeat(len(entities), 1, 1)
            for other, weight in side.rows(entities, dim):
                vectors = with_none.index_select(0, other.flatten()).reshape(*other.shape, dim)
                weighted = vectors if weight is None else vectors * weight[..., None]
                matrix.baddbmm_(weighted.mT, vectors)
            rows = side.count[entities].to(fixed) + self.unobserved * len(fixed)
            matrix.diagonal(dim1=-2, dim2=-1).add_((self.l2 * rows**self.power)[:, None])
            root, failed = torch.linalg.cholesky_ex(matrix)
            if failed.any():
                raise MetarunError(
                    f"pretrain=ials met a system without a solution in single precision: raise pretrain.l2={self.l2:g}."
                )
            found[entities] = torch.cholesky_solve(target[entities, :, None], root)[..., 0]
        return found


class Side:
    """Rows grouped by user, or by item; entities in the order of their number of rows, so that padding is little."""

    def __init__(self, entity: Tensor, other: Tensor, value: Tensor, sizes: tuple[int, int]) -> None:
        """Sort rows; entity, other, value: (rows,); sizes: how many entities and others there are."""
        order = entity.argsort(stable=True)
        self.other, self.none = other.index_select(0, order).long(), sizes[1]
        self.value = None if bool((value == 1).all()) else value.index_select(0, order)
        self.count = torch.bincount(entity, minlength=sizes[0])
        self.first = self.count.cumsum(0) - self.count

    def blocks(self, dim: int) -> Iterator[Tensor]:
        """Yield the entities with rows, as many at a time as CELLS allow."""
        ascending = self.count.argsort(stable=True)
        ascending = ascending[int((self.count == 0).sum()) :]
        counts = self.count[ascending].tolist()
        first = 0
        for last in range(1, len(counts) + 1):
            # The next one is the widest so far: what a block costs is known before it joins.
            following = counts[last] if last < len(counts) else 0
            cells = (last + 1 - first) * dim * max(following, dim)
            if last == len(counts) or cells > CELLS or following > 1.25 * counts[first] + 8:
                yield ascending[first:last]
                first = last

    def rows(self, entities: Tensor, dim: int) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Yield (other side (E, N), weight (E, N) or None for 1), padded with an other that has a zero vector."""
        first, count = self.first[entities, None], self.count[entities, None]
        widest, step = int(count.max()), max(1, CELLS // (dim * len(entities)))
        for start in range(0, widest, step):
            place = torch.arange(start, min(widest, start + step), device=first.device)
            exists = place < count
            row = torch.where(exists, first + place, 0)
            weight = None if self.value is None else self.value[row]
            yield torch.where(exists, self.other[row], self.none), weight


def check(backbone: Any) -> None:
    """Raise MetarunError for a backbone that is more than a vector per item."""
    if not isinstance(backbone, MatrixFactorisation) or isinstance(backbone, FeatureFactorisation):
        raise MetarunError(
            f"pretrain=ials solves for one vector per item, which {type(backbone).__name__} is not: use backbone=mf "
            "backbone.bias=false, or pretrain=ranking."
        )
    if backbone.bias:
        raise MetarunError(
            "pretrain=ials has no biases, and backbone.bias=true: use backbone.bias=false, or pretrain=ranking."
        )
