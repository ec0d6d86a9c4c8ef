"""Tasks that come one after another, as a stream that is examined after each of them."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metarun.data.images import Images, digits, mnist
from metarun.data.standardise import Running
from metarun.data.streamed import Rows, Streamed
from metarun.data.streams import sequence
from metarun.model import Spec


class Sequence(Streamed):
    """Class-, domain-, task-incremental or permuted images. Images stay bytes; rows are made when they are asked for.

    "class": labels of all classes, of which each task has some. "domain": the place of a class within its task.
    "task": as "class", and whoever predicts is told the classes of the task. "permuted": all classes, pixels shuffled.
    """

    def __init__(
        self,
        of: str,
        folder: str | None,
        kind: str,
        size: int,
        tasks: int,
        rows: int | None,
        test_rows: int | None,
        split_seed: int,
    ) -> None:
        """of: "digits" or "mnist"; the rest as `sequence.plan`."""
        super().__init__(0, False, [], [1], 1, 1, split_seed)
        self.of, self.folder, self.kind = of, Path(folder) if folder else None, kind
        self.asked_for = (size, tasks, rows, test_rows)

    @cached_property
    def images(self) -> Images:
        """The images."""
        return digits.read() if self.of == "digits" else mnist.read(self.folder)

    @cached_property
    def plan(self) -> sequence.Plan:
        """What comes when."""
        size, number, rows, test_rows = self.asked_for
        return sequence.plan(self.images, self.kind, size, number, rows, test_rows, self.split_seed)

    @cached_property
    def edges(self) -> NDArray[np.int64]:
        """The first row of each task, and the end (T + 1,)."""
        return np.cumsum([0, *(len(rows) for rows in self.plan.rows)])

    def read(self) -> Rows:
        """Return the rows: of the pixels all images, of the labels those of the stream."""
        x = torch.from_numpy(self.images.pixels.reshape(len(self.images.label), -1))
        y = torch.cat([self.labels(task, rows) for task, rows in enumerate(self.plan.rows)])
        size = self.asked_for[0]
        names = [f"{place} of {size}" for place in range(size)] if self.kind == "domain" else self.images.classes
        drifts = self.edges[1:-1].tolist()
        told = f"{'permuted' if self.kind == 'permuted' else 'split'} {self.images.name}"
        return Rows(x, y, [f"pixel {i}" for i in range(x.shape[1])], names, drifts, told, self.images.checksum)

    def labels(self, task: int, rows: NDArray[np.int64]) -> Tensor:
        """Return labels (B,) of images of a task."""
        y = self.images.label[rows]
        if self.kind == "domain":
            y = np.argmax(y[:, None] == self.plan.classes[task], 1)
        return torch.from_numpy(np.asarray(y, dtype=np.int64))

    @property
    def spec(self) -> Spec:
        """What the model is told."""
        classes = len(self.found.classes)
        return Spec(outputs=classes, shape=self.images.pixels.shape[1:], classes=classes, task="stretch")

    @property
    def setting(self) -> dict[str, object]:
        """What every figure depends on."""
        size, number, rows, _ = self.asked_for
        what = {"tasks": number} if self.kind == "permuted" else {"classes a task": size}
        return {"incremental": self.kind, **what, "rows a task": rows or "all", "split_seed": self.split_seed}

    def scaler(self) -> Running:
        """Return what nothing is standardised by."""
        return Running(1)

    def part(self, first: int, last: int, scaler: Running) -> tuple[Tensor, Tensor]:
        """Return images (B, channels, height, width) between 0 and 1 and labels (B,) of the rows [first, last)."""
        found = []
        for task in range(len(self.plan.rows)):
            begin, end = max(first, self.edges[task]), min(last, self.edges[task + 1])
            if begin < end:
                rows = self.plan.rows[task][begin - self.edges[task] : end - self.edges[task]]
                found.append(self.pixels(task, rows))
        return torch.cat(found), self.found.y[first:last]

    def pixels(self, task: int, rows: NDArray[np.int64]) -> Tensor:
        """Return images (B, channels, height, width) of a task."""
        x = self.images.pixels[rows].reshape(len(rows), -1)
        if self.plan.pixels is not None:
            x = x[:, self.plan.pixels[task]]
        return torch.from_numpy(x).float().div_(255).reshape(len(rows), *self.images.pixels.shape[1:])

    @property
    def exams(self) -> int:
        """How many tasks are asked about."""
        return len(self.plan.exams)

    def exam(self, task: int) -> tuple[Tensor, Tensor]:
        """Return images and labels of a task that are only asked about."""
        rows = self.plan.exams[task]
        return self.pixels(task, rows), self.labels(task, rows)

    def open_classes(self, task: int) -> Tensor | None:
        """Return 1 (C,) for the classes that a task is known to be about, None where nobody is told."""
        if self.kind != "task":
            return None
        every = torch.zeros(len(self.found.classes))
        every[torch.from_numpy(self.plan.classes[task])] = 1.0
        return every

    def context(self) -> dict[str, Tensor]:
        """Return what is known before the first row."""
        classes = self.open_classes(0)
        return super().context() | ({} if classes is None else {"classes": classes})
