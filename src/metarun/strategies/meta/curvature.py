"""Meta-Curvature: a learned linear map of each parameter's gradient, a Kronecker product of small matrices.

Park and Oliva, "Meta-Curvature", NeurIPS 2019.
"""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor, nn

from metarun.model import Model
from metarun.strategies.gradient import Gradient
from metarun.strategies.rates import key


class Curvature(Gradient):
    """MAML whose gradients are multiplied by one learned matrix along each axis, the identity at the start.

    The axes of a kernel are outputs, inputs and places; a vector, and every row of a table, is scaled weight by weight.
    """

    def __init__(
        self,
        *,
        model: Model,
        moves: str = "all",
        learns: str = "all",
        steps: int,
        test_steps: int | None,
        inner_lr: float,
        first_order: bool,
        shrink: float = 0.0,
        tune: dict[str, list[float]] | None = None,
    ) -> None:
        super().__init__(
            model=model, moves=moves, learns=learns, steps=steps, test_steps=test_steps, inner_lr=inner_lr,
            first_order=first_order, shrink=shrink, tune=tune,
        )  # fmt: skip
        tables = self.tables()
        shapes = {name: p.shape[1:] if name in tables else p.shape for name, p in self.moving().items()}
        self.factors = nn.ModuleDict({key(name): factors(shape) for name, shape in shapes.items()})

    def direction(self, gradient: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the transformed gradients."""
        return {name: transform(self.factors[key(name)], value) for name, value in gradient.items()}


def axes(shape: torch.Size) -> list[int]:
    """Return the sizes of the axes of a parameter, all places of a kernel as one.

    >>> axes(torch.Size([64, 32, 3, 3])), axes(torch.Size([40, 1]))
    ([64, 32, 9], [40, 1])
    """
    return [*shape[:2], prod(shape[2:])] if len(shape) > 2 else list(shape)


def factors(shape: torch.Size) -> nn.ParameterList:
    """Return a matrix for each axis of a parameter, or one factor per weight of a vector."""
    if len(shape) < 2:
        return nn.ParameterList([nn.Parameter(torch.ones(shape))])
    return nn.ParameterList([nn.Parameter(torch.eye(size)) for size in axes(shape)])


def transform(maps: nn.Module, gradient: Tensor) -> Tensor:
    """Return the gradient multiplied along every axis."""
    found = list(maps.parameters())
    if len(found) == 1:
        return gradient * found[0]
    out = gradient.reshape(axes(gradient.shape))
    for axis, matrix in enumerate(found):
        out = torch.tensordot(out, matrix, ([axis], [1])).movedim(-1, axis)
    return out.reshape(gradient.shape)
