"""Clips as datasets: of words that training never heard, of speakers whom it never heard."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metarun.data.audio.decode import Samples
from metarun.data.audio.disturbance import changed, faster, louder, noisy
from metarun.data.audio.spectrogram import log_mel
from metarun.data.few_shot import FewShot
from metarun.data.grouped import Grouped
from metarun.data.images.splits import PARTS


class ClipRows:
    """Stands before a view of labelled rows, whose `table` holds samples: they are heard as spectrograms."""

    rate: int
    """Of samples, in Hz."""
    bands: int
    """Of frequencies."""
    table: Any

    @cached_property
    def inputs(self) -> Tensor:
        """Spectrograms (N, 1, bands, frames) as bytes."""
        return torch.from_numpy(log_mel(self.table.inputs, self.rate, self.bands))

    def read_as(self, classes: Sequence[str]) -> dict[str, Any]:
        """Return how sound files become inputs; classes: that mean the same in every task."""
        samples = self.table.inputs.shape[1]
        return {"kind": "clips", "rate": self.rate, "samples": samples, "bands": self.bands, "classes": list(classes)}


class NewWords(ClipRows, FewShot):
    """Clips as spectrograms (1, bands, frames); episodes are of words."""

    row = "clip"

    def __init__(self, split: str, bands: int, train_changes: float, **view: Any) -> None:
        """bands: of frequencies; train_changes: how much training clips are changed at random.

        view: what all labelled rows are asked for.
        """
        super().__init__(split, **view)
        self.bands = bands
        self.change = partial(changed, size=train_changes) if train_changes else None

    def reading(self) -> dict[str, Any]:
        """Return how sound files become inputs."""
        return self.read_as([])


class NewSpeakers(ClipRows, Grouped):
    """Clips as spectrograms (1, bands, frames); a speaker is a task, heard well and under each of the conditions.

    A condition is that of all clips of a judged speaker, of the labelled ones too.
    """

    kind = "speaker"

    def __init__(
        self,
        bands: int,
        train_changes: float,
        noise: list[float],
        gain: list[float],
        speed: list[float],
        **view: Any,
    ) -> None:
        """noise, gain: in decibels; speed: factors; the rest as of `NewWords`; view: as of every set of groups."""
        super().__init__(**view)
        self.bands = bands
        self.change = partial(changed, size=train_changes) if train_changes else None
        self.conditions: dict[str, tuple[str, float]] = {
            **{f"noise {decibels:g} dB": ("noise", decibels) for decibels in noise},
            **{f"gain {decibels:g} dB": ("gain", decibels) for decibels in gain},
            **{f"speed {factor:g}": ("speed", factor) for factor in speed},
        }
        self.cells = [*self.cells, *self.conditions]
        self.disturbed: dict[tuple[str, str], Tensor] = {}

    def reading(self) -> dict[str, Any]:
        """Return how sound files become inputs."""
        return self.read_as(self.table.classes)

    def inputs_in(self, cell: str | None, part: str) -> Tensor:
        """Return spectrograms (N, 1, bands, frames), those of a part under the condition of a cell."""
        if cell is None or cell not in self.conditions:
            return self.inputs
        if (cell, part) not in self.disturbed:
            rows = np.flatnonzero(self.part == PARTS.index(part))
            clips = self.under(self.table.inputs[rows], rows, *self.conditions[cell])
            found = self.inputs.clone()
            found[torch.from_numpy(rows)] = torch.from_numpy(log_mel(clips, self.rate, self.bands))
            self.disturbed[cell, part] = found
        return self.disturbed[cell, part]

    def under(self, clips: Samples, rows: np.ndarray, kind: str, size: float) -> Samples:
        """Return clips (M, samples) under a condition; rows (M,): their numbers."""
        if kind == "noise":
            return noisy(clips, rows, size, self.split_seed)
        return louder(clips, size) if kind == "gain" else faster(clips, size)
