"""Spoken digits of new speakers as a dataset of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from metarun.data.audio import spoken_digits
from metarun.data.clips import NewSpeakers
from metarun.data.labelled import LabelledRows


class SpokenDigits(NewSpeakers):
    """3,000 recordings of ten digits by six speakers, a speaker as a task; the Free Spoken Digit Dataset."""

    rate = spoken_digits.RATE

    def __init__(self, folder: str | None, seconds: float, **view: Any) -> None:
        """folder: of datasets; seconds: of a clip that are heard; view: see `NewSpeakers`."""
        super().__init__(**view)
        self.folder, self.seconds = Path(folder) if folder else None, seconds

    def read(self) -> LabelledRows:
        """Return the recordings."""
        return spoken_digits.read(self.folder, self.seconds)
