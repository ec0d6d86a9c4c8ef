"""Digits that are spoken and written at once as a dataset of runs."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metarun.data.audio import spoken_digits
from metarun.data.audio.spectrogram import log_mel
from metarun.data.images import digits
from metarun.data.images.splits import PARTS, SHARES
from metarun.data.labelled import LabelledRows
from metarun.data.named_inputs import CLIP, IMAGE, NamedInputs
from metarun.data.split import hashed

KINDS = {"written": IMAGE, "spoken": CLIP}


class SpokenWrittenDigits(NamedInputs):
    """Each of 3,000 spoken digits beside a written one of the same class; a speaker is a task, and so are new images.

    The written ones are scikit-learn's, and no image is in two parts. Judged with all inputs and with each alone.
    """

    kind = "speaker"

    def __init__(self, folder: str | None, seconds: float, bands: int, inputs: list[str], **view: Any) -> None:
        """inputs: of KINDS; view: see `NamedInputs`."""
        self.kinds = {name: KINDS[name] for name in inputs}
        super().__init__(**view)
        self.folder, self.seconds, self.bands = Path(folder) if folder else None, seconds, bands

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
        return {name: made[name]() for name in self.kinds}


def shuffled_place(label: np.ndarray, seed: int) -> np.ndarray:
    """Return where each row (N,) stands among those of its class in random order, from 0 to 1."""
    found = np.zeros(len(label))
    for kind in np.unique(label):
        rows = np.flatnonzero(label == kind)
        order = np.argsort(hashed(seed, rows), kind="stable")
        found[rows[order]] = np.arange(len(rows)) / len(rows)
    return found
