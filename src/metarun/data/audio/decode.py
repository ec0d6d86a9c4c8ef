"""One sound file to samples at a given rate."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from metarun.errors import MetarunError

Samples = NDArray[np.int16]
FULL = 32767
QUIET = 3
"""The loudest sample of silence, of FULL: what the noise of a converter is."""


def need(module: str) -> Any:
    """Return a module of the extra "speech". Raises MetarunError where it is not installed."""
    try:
        import importlib

        return importlib.import_module(module)
    except ImportError as error:
        raise MetarunError(
            f'Clips are read with {module}, which is not installed: pip install "metarun[speech]"'
        ) from error


def decode(file: Path | IO[bytes], where: str, rate: int) -> Samples:
    """Return the samples (S,) of a sound file at `rate` Hz, its channels averaged.

    Raises:
        MetarunError: it is no sound, empty or silent; `where` names it.
    """
    soundfile = need("soundfile")
    try:
        found, own = soundfile.read(file, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError) as error:
        raise MetarunError(f"{where} cannot be read as sound ({error}): save it as WAV or FLAC") from None
    samples = found.mean(1)
    if not len(samples):
        raise MetarunError(f"{where} has no samples: record it again, or move it away")
    if own != rate:
        samples = need("librosa").resample(samples, orig_sr=own, target_sr=rate)
    whole: Samples = np.rint(np.clip(samples, -1, 1) * FULL).astype(np.int16)
    if int(np.abs(whole).max()) <= QUIET:
        raise MetarunError(f"{where} is silent: record it again, or move it away")
    return whole


def fitted(clips: list[Samples], length: int) -> Samples:
    """Return clips (N, length), each in the middle: longer ones lose both ends, shorter ones are silent there.

    >>> fitted([np.array([1, 2, 3, 4], np.int16), np.array([5], np.int16)], 2).tolist()
    [[2, 3], [5, 0]]
    """
    found = np.zeros((len(clips), length), np.int16)
    for row, clip in enumerate(clips):
        cut = clip[max(len(clip) - length, 0) // 2 :][:length]
        first = (length - len(cut)) // 2
        found[row, first : first + len(cut)] = cut
    return found
