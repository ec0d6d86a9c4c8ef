"""Pretraining: ordinary batches and one loss, or sweeps in closed form."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from metarun import ranks
from metarun.pretraining.probing import Labelled, Look, worth
from metarun.stages.loop import Stage

LOOKS = 5
"""Times that the backbone is looked at before the last step, the first before any."""


class Pretrain(Stage):
    """Trains a pretraining task (which owns the model) by Adam at a rate that falls linearly to 0."""

    rate_key = "pretrain.lr"

    def __init__(self, task: Any, steps: int, seed: int, labelled: Labelled | None = None) -> None:
        """labelled: rows that the frozen backbone is looked at with, `LOOKS` times; None: it is not."""
        super().__init__()
        self.task, self.steps, self.seed, self.labelled = task, steps, seed, labelled
        self.looks: list[Look] = []

    def training_step(self, batch: Any, index: int) -> Tensor:
        """Return what this process's rows add to the loss of one batch; chance depends on the step alone."""
        if self.position >= len(self.looks) * self.steps / LOOKS:
            self.look()
        generator = torch.Generator(device=self.device).manual_seed(self.seed * 1_000_003 + self.position)
        mine = ranks.part(len(batch[0]), getattr(self.task, "unit", 1))
        loss: Tensor = self.task.loss(*batch, generator, mine)
        self.recent = loss.detach()
        return loss

    def look(self) -> None:
        """Keep (step, linear probe, k-NN) of the backbone as it stands, by the first process."""
        if self.labelled is not None and ranks.first():
            there = Labelled(*(part.to(self.device) for part in self.labelled))
            self.looks.append((self.position, *worth(self.task.model.backbone, there)))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what was seen."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["looks"] = self.looks

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take it up."""
        super().on_load_checkpoint(checkpoint)
        self.looks = [(int(step), linear, near) for step, linear, near in checkpoint["looks"]]

    def configure_optimizers(self) -> Any:
        """Return Adam and its schedule."""
        return decaying_adam(self.parameters(), self.task.lr, self.steps)


class Sweeps(Stage):
    """Solves a pretraining task in closed form, sweep after sweep, in its own parameters."""

    has_loss = False
    on_cpu = True  # the rows that it sweeps over are there

    def __init__(self, task: Any) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.task = task

    def training_step(self, batch: Any, index: int) -> None:
        """Sweep once."""
        self.task.sweep(self.position, batch)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Leave the source where it is."""
        return batch

    def configure_optimizers(self) -> None:
        """Return nothing: the task is the optimiser."""
        return


def decaying_adam(parameters: Any, lr: float, steps: int) -> dict[str, Any]:
    """Return Adam whose rate falls linearly to 0 over `steps`, as Lightning wants it."""
    optimizer = torch.optim.Adam([p for p in parameters if p.requires_grad], lr, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: max(0.0, 1 - step / steps))
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
