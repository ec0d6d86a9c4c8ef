"""Reptile: the start moves to where adapting leads, and nothing is differentiated through the inner steps.

Nichol, Achiam and Schulman, "On first-order meta-learning algorithms", 2018.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from metarun.model import Model
from metarun.rule import Batch, Task
from metarun.strategies.anchor import penalty
from metarun.strategies.gradient import Gradient, moved


class Reptile(Gradient):
    """Inner steps on all labelled rows of a task, support and query; what moves is what is learned."""

    def __init__(
        self,
        *,
        model: Model,
        moves: str = "all",
        steps: int,
        test_steps: int | None,
        inner_lr: float,
        shrink: float = 0.0,
        tune: dict[str, list[float]] | None = None,
    ) -> None:
        learns = "head" if moved(moves, model.task) == "head" else "all"
        super().__init__(
            model=model, moves=moves, steps=steps, test_steps=test_steps, inner_lr=inner_lr, learns=learns,
            shrink=shrink, tune=tune,
        )  # fmt: skip

    def outer(self, task: Task) -> Tensor:
        """Return half the squared distance () from the start to what `steps` steps make of it, a constant.

        Its gradient is start - adapted, Reptile's direction; the value says how far tasks are from the start.
        """
        start = self.init(task.context)
        *_, adapted = self.walk(tree_map(torch.Tensor.detach, start), together(task), self.steps)
        ends = {name: value.detach() for name, value in adapted["theta"].items()}
        return penalty(start["theta"], ends, 1.0)


def together(task: Task) -> Batch:
    """Return the rows of support and query as one batch."""
    s, q = task.support, task.query
    x, y, mask, known = tree_map(lambda a, b: torch.cat([a, b]), tuple(s[:4]), tuple(q[:4]))
    return Batch(x, y, mask, known, s.event)
