"""The user's own words as a dataset of runs."""

from __future__ import annotations

from typing import Any

from metarun.data.audio import audio_folder
from metarun.data.clips import NewWords
from metarun.data.labelled import LabelledRows


class AudioFolder(NewWords):
    """A folder of folders of clips, each of which is a word."""

    fewer = "lower it, or give that part more of dataset.shares"

    def __init__(self, path: str, rate: int, seconds: float, shares: list[float], **view: Any) -> None:
        """rate: Hz that clips are brought to; seconds: of each that are heard; shares: of words; view: `NewWords`."""
        super().__init__(**view)
        self.path, self.rate, self.seconds, self.shares = path, rate, seconds, shares

    def read(self) -> LabelledRows:
        """Return the clips."""
        return audio_folder.read(self.path, "audio_folder", self.rate, self.seconds, depth=1)
