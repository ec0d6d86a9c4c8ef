"""An example of a user's own clips: words made up of two tones, each speaker with a voice of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from metarun.data.audio.decode import need
from metarun.errors import MetarunError

RATE, SECONDS = 16_000, 0.4
WORDS = ("back", "down", "go", "left", "no", "right", "stop", "up", "yes", "zero")
PEOPLE = ("eve", "fay", "gus", "hal", "ida")
CLIPS = 12
"""Of every word, and speaker."""


def write(folder: Path, speakers: bool) -> None:
    """Write WAV files into FOLDER/WORD, or FOLDER/SPEAKER/WORD.

    Raises:
        MetarunError: the folder cannot be written, or there is nothing to write sound with.
    """
    soundfile, rng = need("soundfile"), np.random.default_rng(0)
    try:
        for who, name in enumerate(PEOPLE if speakers else PEOPLE[:1]):
            for word, said in enumerate(WORDS):
                place = folder / name / said if speakers else folder / said
                place.mkdir(parents=True)
                for number in range(CLIPS):
                    pitch = (1 + 0.06 * who) * rng.normal(1, 0.02)
                    soundfile.write(place / f"{number}.wav", sound(word, pitch, rng), RATE)
    except OSError as error:
        raise MetarunError(f"{folder} cannot be written ({error.strerror or error}): give another, --to") from error


def sound(word: int, pitch: float, rng: np.random.Generator) -> np.ndarray:
    """Return a clip (samples,): two tones that tell the word, one after the other, with a little noise."""
    time = np.arange(round(SECONDS / 2 * RATE)) / RATE
    hertz = 250 * pitch * 1.35 ** np.array(divmod(7 * word, 9))
    tones = np.sin(2 * np.pi * hertz[:, None] * time) * np.hanning(len(time))
    return np.asarray(0.4 * tones.flatten() + rng.normal(0, 0.003, tones.size))
