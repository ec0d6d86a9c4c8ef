"""Clips as images: how loud each band of frequencies is at each moment.

Davis and Mermelstein, "Comparison of parametric representations for monosyllabic word recognition", IEEE ASSP 28(4),
1980 (the mel scale, and cepstra of it).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metarun.data.audio.decode import FULL, Samples, need

WINDOW, STEP = 0.032, 0.02
"""Seconds that a frame listens to, and from one frame to the next."""
LOWEST = 60.0
"""Hz of the lowest band: mains hum is below it."""
DEPTH = 60.0
"""Decibels below a clip's loudest band and moment that are still heard."""
SILENCE = 1e-12
"""Power of a clip that has none."""
BLOCK = 256
"""Clips at once, bounds memory."""


def log_mel(clips: Samples, rate: int, bands: int) -> NDArray[np.uint8]:
    """Return spectrograms (N, 1, bands, frames) of clips (N, samples): 255 at a clip's loudest, 0 at DEPTH below it.

    How loud a clip is as a whole is not in it.
    """
    librosa = need("librosa")
    found = []
    for first in range(0, len(clips), BLOCK):
        power = librosa.feature.melspectrogram(
            y=clips[first : first + BLOCK].astype(np.float32) / FULL,
            sr=rate, n_fft=round(WINDOW * rate), hop_length=round(STEP * rate), n_mels=bands, fmin=LOWEST,
        )  # fmt: skip
        top = np.maximum(power.max((1, 2), keepdims=True), SILENCE)
        level = 10 * np.log10(np.maximum(power, top * 10 ** (-DEPTH / 10)) / top) / DEPTH + 1
        found.append(np.rint(255 * level).astype(np.uint8)[:, None])
    return np.concatenate(found)


def cepstra(spectrograms: NDArray[np.uint8], number: int) -> NDArray[np.float64]:
    """Return (N, 4 * number) of spectrograms (N, 1, bands, frames): cepstra and their changes, mean and spread in time.

    Moments before and after the sound do not count.
    """
    from scipy.fft import dct

    level = spectrograms[:, 0].astype(np.float64) / 255
    heard = level.max(1, keepdims=True) > 0
    found = dct(level, axis=1, norm="ortho")[:, :number]
    parts = []
    for values, there in ((found, heard), (np.diff(found, axis=2), heard[:, :, 1:] & heard[:, :, :-1])):
        count = np.maximum(there.sum(2), 1)
        mean = (values * there).sum(2) / count
        spread = np.sqrt((((values - mean[:, :, None]) * there) ** 2).sum(2) / count)
        parts += [mean, spread]
    return np.hstack(parts)
