"""Recordings in the official layout of spoken digits, made up of tones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

RATE = 8000
SPEAKERS = ("anna", "ben", "cleo", "dan")


def tone(hertz: float, seconds: float = 0.3, loud: float = 0.5) -> np.ndarray:
    """Return a tone that fades."""
    time = np.arange(round(seconds * RATE)) / RATE
    return loud * np.sin(2 * np.pi * hertz * time) * np.exp(-3 * time)


def spoken(place: Path, digits: int = 10, each: int = 6) -> Path:
    """Write recordings in the official layout, every digit a tone, every speaker a little higher than the last."""
    soundfile = pytest.importorskip("soundfile")
    folder = place / "free-spoken-digit-dataset" / "recordings"
    folder.mkdir(parents=True)
    for who, name in enumerate(SPEAKERS):
        for digit in range(digits):
            for number in range(each):
                clip = tone(200 * 1.3**digit * (1 + 0.02 * who + 0.005 * number))
                soundfile.write(folder / f"{digit}_{name}_{number}.wav", clip, RATE)
    return place
