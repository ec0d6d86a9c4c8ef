"""A pass over tasks that come one after another: after each, held-out rows of all of them are asked about."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from metarun.datasets.sequence import Sequence
from metarun.rule import Rule, State
from metarun.stages.stream import Follow

ROWS = 2000
"""Rows asked about at once."""


class Examined(Follow):
    """Follows a sequence of tasks. What is asked about is never learned from, and leaves no trace in the state.

    `right` holds, at the start and after each task, 1 for every held-out row that was right, tasks behind each other.
    """

    def __init__(self, rule: Rule, state: State, data: Sequence, *given: Any) -> None:
        super().__init__(rule, state, data, *given)
        self.sequence = data
        self.right: list[Tensor] = []
        self.ends_of_tasks = {int(end): task for task, end in enumerate(self.sequence.edges[1:], 1)}

    def training_step(self, batch: tuple[int, int], index: int) -> None:
        """Ask before the first row as well."""
        if not self.right:
            self.examine()
        super().training_step(batch, index)

    def inner(self, first: int, last: int) -> list[int]:
        """Return the marks and the ends of tasks between two rows."""
        ends = [end for end in self.ends_of_tasks if first < end < last]
        return sorted({*super().inner(first, last), *ends})

    def reached(self, row: int) -> None:
        """Ask at the end of a task, then tell which classes come."""
        super().reached(row)
        if row in self.ends_of_tasks:
            self.examine()
            if self.ends_of_tasks[row] < self.sequence.exams:
                self.state = self.told_classes(self.ends_of_tasks[row])

    def told_classes(self, task: int) -> Any:
        """Return the state of who knows the classes of a task, where anybody is told."""
        classes = self.sequence.open_classes(task)
        known = classes is not None and isinstance(self.state, dict) and "classes" in self.state
        return {**self.state, "classes": classes} if known else self.state

    def examine(self) -> None:
        """Keep which held-out rows of every task are right."""
        found = []
        with torch.no_grad():
            for task in range(self.sequence.exams):
                state, (x, y) = self.told_classes(task), self.sequence.exam(task)
                for rows, labels in zip(torch.split(x, ROWS), torch.split(y, ROWS), strict=True):
                    seen = self.rule.model.features(rows) if self.rule.sees == "features" else rows
                    found.append(self.rule.predict(state, seen).argmax(-1) == labels)
        self.right.append(torch.cat(found).to(torch.uint8))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the answers."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["right"] = self.right

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take them up."""
        super().on_load_checkpoint(checkpoint)
        self.right = checkpoint["right"]
