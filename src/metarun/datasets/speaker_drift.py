"""Spoken digits, one speaker after another, as a dataset of runs."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from metarun.data.audio import spoken_digits
from metarun.data.audio.spectrogram import log_mel
from metarun.data.images.splits import shuffled
from metarun.data.labelled import LabelledRows
from metarun.data.row_source import PlainSource
from metarun.data.streamed import Rows, Streamed
from metarun.errors import MetarunError
from metarun.model import Spec


class SpeakerDrift(Streamed):
    """Digits by the first speakers are pretrained on; then others speak in turn, and each change is a drift."""

    def __init__(
        self,
        folder: str | None,
        seconds: float,
        bands: int,
        opening_speakers: int,
        supports: list[int],
        queries: int,
        test_tasks: int,
        split_seed: int,
    ) -> None:
        """opening_speakers: who are pretrained on; the rest as of every stream."""
        super().__init__(0, False, [], supports, queries, test_tasks, split_seed)
        self.folder, self.seconds, self.bands = Path(folder) if folder else None, seconds, bands
        clips = self.table
        if not 1 <= opening_speakers < len(clips.groups):
            raise MetarunError(
                f"dataset.opening_speakers={opening_speakers}: there are {len(clips.groups)} speakers, of whom one has "
                "to speak first and one has to be left"
            )
        self.opening = int(self.edges[opening_speakers - 1])

    @cached_property
    def table(self) -> LabelledRows:
        """The clips."""
        return spoken_digits.read(self.folder, self.seconds)

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """The clips (N,) as they come: speakers in random order, and the clips of each."""
        draws, clips = np.random.default_rng([self.split_seed, 13]), self.table
        turns = [clips.groups.index(name) for name in shuffled(clips.groups, self.split_seed)]
        return np.concatenate([draws.permutation(np.flatnonzero(clips.group == who)) for who in turns])

    @property
    def edges(self) -> NDArray[np.int64]:
        """The first clip of each speaker but the first."""
        return np.flatnonzero(np.diff(self.table.group[self.order])) + 1

    def read(self) -> Rows:
        """Return the clips as rows of their spectrograms."""
        heard = log_mel(self.table.inputs[self.order], spoken_digits.RATE, self.bands)
        self.shape = tuple(heard.shape[1:])
        x = torch.from_numpy(heard).float().div_(255).flatten(1)
        y = torch.from_numpy(self.table.label[self.order])
        names = [f"band {band} frame {frame}" for band in range(heard.shape[2]) for frame in range(heard.shape[3])]
        return Rows(x, y, names, self.table.classes, self.edges.tolist(), "speaker drift", self.table.checksum)

    @property
    def spec(self) -> Spec:
        """What the model is told: rows are spectrograms."""
        plain = super().spec
        return replace(plain, shape=self.shape, groups={}, shared=True)

    @property
    def setting(self) -> dict[str, object]:
        """What every figure depends on."""
        return {"opening": self.opening, "split_seed": self.split_seed}

    def source(self, rows: int, seed: int, round: int = 1) -> PlainSource:
        """Return the opening in batches of `rows`."""
        x, y = self.whole
        return PlainSource(x, y, torch.arange(self.opening), rows, seed, round)
