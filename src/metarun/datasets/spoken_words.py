"""Spoken digits as words that training never heard, as a dataset of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from metarun.data.audio import spoken_digits
from metarun.data.clips import NewWords
from metarun.data.labelled import LabelledRows


class SpokenWords(NewWords):
    """3,000 recordings of ten digits by six speakers, a digit as a class: 4 train, 3 choose and 3 test, by the seed."""

    shares = (0.4, 0.3, 0.3)
    rate = spoken_digits.RATE

    def __init__(self, folder: str | None, seconds: float, **view: Any) -> None:
        """folder: of datasets; seconds: of a clip that are heard; view: see `NewWords`."""
        super().__init__(**view)
        self.folder, self.seconds = Path(folder) if folder else None, seconds

    def read(self) -> LabelledRows:
        """Return the recordings."""
        return spoken_digits.read(self.folder, self.seconds)
