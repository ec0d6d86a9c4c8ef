"""Digits that are spoken and written at once as a dataset of runs."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metarun.data.audio import disturbance, spoken_digits
from metarun.data.audio.spectrogram import log_mel
from metarun.data.distortion import affine
from metarun.data.grouped import Grouped
from metarun.data.images import digits
from metarun.data.images.splits import PARTS, SHARES
from metarun.data.labelled import LabelledRows
from metarun.data.named import Shapes, only, packed, segments, some_missing
from metarun.data.split import hashed
from metarun.hashing import combine
from metarun.model import Spec

INPUTS = ("written", "spoken")


class SpokenWrittenDigits(Grouped):
    """Each of 3,000 spoken digits beside a written one of the same class; a speaker is a task, and so are new images.

    The written ones are scikit-learn's, and no image is in two parts. Judged with all inputs and with each alone.
    """

    kind = "speaker"

    def __init__(
        self,
        folder: str | None,
        seconds: float,
        bands: int,
        inputs: list[str],
        train_changes: float,
        train_missing: float,
        **view: Any,
    ) -> None:
        """inputs: of INPUTS; train_changes: size of changes of training clips and images.

        train_missing: share of training rows that lack one input; view: what every set of groups is asked for.
        """
        super().__init__(**view)
        self.folder, self.seconds, self.bands = Path(folder) if folder else None, seconds, bands
        self.given, self.train_changes, self.train_missing = list(dict.fromkeys(inputs)), train_changes, train_missing
        alone = [f"{name} alone" for name in self.given] if len(self.given) > 1 else []
        self.cells = [*self.cells, *alone]
        self.change = self.changed

    def read(self) -> LabelledRows:
        """Return the clips."""
        return spoken_digits.read(self.folder, self.seconds)

    @cached_property
    def written(self) -> Tensor:
        """An image (N, 1, 8, 8) of its class for each clip, from the images of its part."""
        images = digits.read()
        owner = np.searchsorted(np.cumsum(SHARES)[:2], shuffled_place(images.label, self.split_seed), side="right")
        found = np.zeros(len(self.table.label), np.int64)
        for part in range(len(PARTS)):
            for kind, name in enumerate(self.table.classes):
                rows = np.flatnonzero((self.part == part) & (self.table.label == kind))
                pool = np.flatnonzero((owner == part) & (images.label == images.classes.index(name)))
                found[rows] = pool[hashed(self.split_seed, rows) % len(pool)]
        return torch.from_numpy(images.pixels[found])

    @cached_property
    def values(self) -> dict[str, Tensor]:
        """Each input (N, ...) as bytes."""
        made = {
            "written": lambda: self.written,
            "spoken": lambda: torch.from_numpy(log_mel(self.table.inputs, spoken_digits.RATE, self.bands)),
        }
        return {name: made[name]() for name in self.given}

    @property
    def shapes(self) -> Shapes:
        """The shape of each input."""
        return {name: tuple(value.shape[1:]) for name, value in self.values.items()}

    @cached_property
    def inputs(self) -> Tensor:
        """Rows (N, D), see `data.named`."""
        return packed(self.values)

    def inputs_in(self, cell: str | None, part: str) -> Tensor:
        """Return rows (N, D) with all inputs, or with the one that a cell is about."""
        name = (cell or "").removesuffix(" alone")
        return only(self.inputs, name, self.shapes) if name in self.given and len(self.given) > 1 else self.inputs

    def changed(self, x: Tensor, key: Tensor) -> Tensor:
        """Return training rows (N, D), each input changed in its own way, of some rows one missing."""
        shapes, parts = self.shapes, []
        change = {"written": affine, "spoken": disturbance.changed}
        for number, (name, part) in enumerate(segments(shapes).items()):
            own = x[:, part.start + 1 : part.stop].reshape(len(x), *shapes[name])
            if self.train_changes:
                own = change[name](own, combine(number, key), self.train_changes)
            parts += [x[:, part.start : part.start + 1], own.flatten(1)]
        found = torch.cat(parts, 1)
        return some_missing(found, key, self.train_missing, shapes) if len(shapes) > 1 else found

    @property
    def spec(self) -> Spec:
        """What the model is told: also the shape of each input."""
        return replace(super().spec, inputs=dict(self.shapes))


def shuffled_place(label: np.ndarray, seed: int) -> np.ndarray:
    """Return where each row (N,) stands among those of its class in random order, from 0 to 1."""
    found = np.zeros(len(label))
    for kind in np.unique(label):
        rows = np.flatnonzero(label == kind)
        order = np.argsort(hashed(seed, rows), kind="stable")
        found[rows[order]] = np.arange(len(rows)) / len(rows)
    return found
