"""Tasks that are known by their numbers alone."""

from __future__ import annotations

import torch
from torch import Tensor


class Numbered:
    """Task i of `number` tasks; further numbers are tasks as well, for training that never ends."""

    number: int

    def __len__(self) -> int:
        """Number of tasks."""
        return self.number

    @property
    def user(self) -> Tensor:
        """The numbers of the tasks (number,), by which methods are compared pair by pair."""
        return torch.arange(self.number)
