"""MAML++: learned rates per layer and step, a loss after every step at first, first-order gradients at first.

Antoniou, Edwards and Storkey, "How to train your MAML", ICLR 2019. Its statistics per step come by themselves, as a
normalisation by the support is computed anew at every step; its normalisation weights per step are left out.
"""

from __future__ import annotations

import torch
from torch import Tensor

from metarun.model import Model
from metarun.rule import Task, support
from metarun.strategies.gradient import Gradient


class MAMLPlusPlus(Gradient):
    """`multi_step`: share of meta-training in which the losses after all steps count, all alike at its beginning and
    the last alone at its end; `first_order`: share that leaves out the second derivative."""

    def __init__(
        self,
        *,
        model: Model,
        moves: str = "all",
        learns: str = "all",
        steps: int,
        test_steps: int | None,
        inner_lr: float,
        multi_step: float,
        first_order: float,
        shrink: float = 0.0,
        tune: dict[str, list[float]] | None = None,
    ) -> None:
        super().__init__(
            model=model, moves=moves, learns=learns, steps=steps, test_steps=test_steps, inner_lr=inner_lr,
            learn_rate="step", shrink=shrink, tune=tune,
        )  # fmt: skip
        self.multi_step, self.first_order_share = multi_step, first_order

    @property
    def cuts(self) -> bool:
        """Whether it is early enough for first-order gradients."""
        return self.progress < self.first_order_share

    def weights(self) -> list[float]:
        """Return the weight of the loss after each step, 1 in sum."""
        left = max(0.0, 1 - self.progress / self.multi_step) if self.multi_step else 0.0
        early = [left / self.steps] * (int(self.steps) - 1)
        return [*early, 1 - sum(early)]

    def outer(self, task: Task) -> Tensor:
        """Return the weighted query loss () after the steps."""
        states = self.walk(self.init(task.context), support(task, self.transductive), self.steps)
        weighted = zip(states, self.weights(), strict=True)
        return torch.stack([weight * self.query_loss(state, task) for state, weight in weighted if weight]).sum()
