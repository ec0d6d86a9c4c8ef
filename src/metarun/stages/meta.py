"""The meta-update: the outer loss through the inner loop, averaged over a batch of tasks."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from metarun import ranks
from metarun.rule import Rule, Task
from metarun.stages.loop import Stage
from metarun.stages.pretrain import decaying_adam
from metarun.tasks import outer


class Meta(Stage):
    """Trains whatever a rule has declared as learned; it knows no algorithm."""

    rate_key = "pipeline.meta.lr, or the inner_lr of strategy.meta"

    def __init__(self, rule: Rule, lr: float, steps: int, vmapped: bool, share: float = 1.0) -> None:
        """share: of the tasks of a step, what this process gets."""
        super().__init__()
        self.rule, self.lr, self.steps, self.vmapped, self.share = rule, lr, steps, vmapped, share

    def training_step(self, batch: Task, index: int) -> Tensor:
        """Return what these tasks add to the mean outer loss of all, and to what keeps the rule near its start."""
        self.rule.progress = self.position / self.steps
        loss = outer(self.rule, batch, self.vmapped).mean() * self.share + self.rule.regulariser() / ranks.world()
        self.recent = loss.detach()
        return loss

    def configure_optimizers(self) -> Any:
        """Return Adam and its schedule."""
        return decaying_adam(self.parameters(), self.lr, self.steps)
