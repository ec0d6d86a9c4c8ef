"""The user's own speakers as a dataset of runs."""

from __future__ import annotations

from typing import Any

from metarun.data.audio import audio_folder
from metarun.data.clips import NewSpeakers
from metarun.data.labelled import LabelledRows


class AudioSpeakers(NewSpeakers):
    """A folder of speakers, each with a folder of clips for each word; a speaker is a task."""

    def __init__(self, path: str, rate: int, seconds: float, **view: Any) -> None:
        """rate: in Hz, that all clips are brought to; seconds: of a clip that are heard; view: see `NewSpeakers`."""
        super().__init__(**view)
        self.path, self.rate, self.seconds = path, rate, seconds

    def read(self) -> LabelledRows:
        """Return the clips."""
        return audio_folder.read(self.path, "audio_speakers", self.rate, self.seconds, depth=2)
