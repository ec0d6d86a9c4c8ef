"""A step of several processes: each has the gradient of its part of the loss, and all take the step of the sum.

One all-reduce per step carries the gradients, the loss and whether anybody was asked to stop, so agreeing costs no
message of its own. It is a sum, not DistributedDataParallel's mean: parts may have different sizes (in pretraining one
may be empty), a parameter that no part uses does not hang the others, and buffers are not taken from the first process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from metarun import ranks


class Together(pl.Callback):
    """Sums what the processes found. `stop`: the signal that somebody was asked to stop by, the same in all of them."""

    def __init__(self, asked: Callable[[], int | None], looks: Callable[[int], bool]) -> None:
        """asked: the signal that this process got; looks: whether a step may wait for the device to say what it found.

        Reading the sum makes the host wait for a GPU, so it is not done at every step there.
        """
        self.asked, self.looks = asked, looks
        self.stop: int | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Begin with the numbers of the first process: another kind of machine may have computed others."""
        pl_module.load_state_dict(ranks.shared(lambda: {k: v.cpu() for k, v in pl_module.state_dict().items()}))
        self.signals = torch.zeros(ranks.world(), device=pl_module.device)

    def on_after_backward(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Sum gradients and losses; clipping and Adam then do the same everywhere."""
        parameters = [p for p in pl_module.parameters() if p.requires_grad]
        number = self.asked()
        if number is not None:
            self.signals[ranks.number()] = number
        found = [gradient(p).reshape(-1) for p in parameters]
        whole = ranks.total(torch.cat([*found, pl_module.recent.reshape(1), self.signals]))
        parts = torch.split(whole, [len(part) for part in found] + [1, len(self.signals)])
        for parameter, part in zip(parameters, parts, strict=False):
            parameter.grad = part.view_as(parameter).to(parameter.dtype)
        pl_module.recent = parts[-2][0]
        if self.looks(pl_module.position + 1):
            self.stop = int(parts[-1].max()) or None


def gradient(parameter: Tensor) -> Tensor:
    """Return a parameter's gradient; 0 where the loss does not depend on it, from which Adam does not move either."""
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
