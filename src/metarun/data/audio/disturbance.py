"""What happens to clips between a mouth and a model: noise, another loudness, another pace; and changes to train on."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from metarun.data.audio.decode import FULL, Samples, fitted, need
from metarun.hashing import combine, uniform

STRETCH, LATER, HIGHER, LIFT = 0.25, 0.2, 0.15, 0.1
"""The most that a spectrogram is stretched and moved in time and in frequency, at size 1; shares of (half) a side."""
TONE = (0.2, 0.14, 0.1)
"""The most that slow, faster and fastest waves along the bands raise them, of the whole depth: other microphones."""
BANDS, MOMENTS = 0.25, 0.2
"""The most that is hidden, of bands and of moments; Park et al., "SpecAugment", Interspeech 2019."""


def noisy(clips: Samples, rows: NDArray[np.int64], decibels: float, seed: int) -> Samples:
    """Return clips (N, S) with white noise, as far below (in power) as asked what is heard of each; rows: of the noise.

    The silence around a clip gets the same noise.
    """
    found = np.empty_like(clips)
    for place, row in enumerate(rows.tolist()):
        clip = clips[place].astype(np.float64)
        power = np.square(clip).sum() / max(np.count_nonzero(clip), 1)
        noise = np.random.default_rng([seed, row]).normal(size=len(clip))
        found[place] = np.clip(np.rint(clip + noise * np.sqrt(power / 10 ** (decibels / 10))), -FULL, FULL)
    return found


def louder(clips: Samples, decibels: float) -> Samples:
    """Return clips (N, S) made louder, cut off where a converter would, or softer, rounded as it would."""
    found: Samples = np.clip(np.rint(clips * 10.0 ** (decibels / 20)), -FULL, FULL).astype(np.int16)
    return found


def faster(clips: Samples, factor: float) -> Samples:
    """Return clips (N, S) played `factor` times as fast, higher too, in the middle of the same length."""
    resampled = need("librosa").resample(clips.astype(np.float32), orig_sr=round(1000 * factor), target_sr=1000)
    return fitted(list(np.clip(np.rint(resampled), -FULL, FULL).astype(np.int16)), clips.shape[1])


def changed(x: Tensor, key: Tensor, size: float) -> Tensor:
    """Return spectrograms (N, 1, bands, frames) uint8 as others would have spoken and recorded them; key (N,).

    Each is stretched and moved in time and in frequency, its bands are raised and lowered smoothly, and some bands and
    some moments are hidden behind its mean: all a pure function of the key.
    """

    def draw(number: int, most: float) -> Tensor:
        return uniform(combine(number, key), -most * size, most * size).to(x.device)

    nothing = torch.zeros(len(x), device=x.device)
    time = torch.stack([1 + draw(0, STRETCH), nothing, draw(1, LATER)], 1)
    pitch = torch.stack([nothing, 1 + draw(2, HIGHER), draw(3, LIFT)], 1)
    grid = affine_grid(torch.stack([time, pitch], 1), list(x.shape), align_corners=False)
    level = grid_sample(x.float() / 255, grid, padding_mode="border", align_corners=False)
    bands, frames = x.shape[2:]
    along = torch.linspace(0, torch.pi, bands, device=x.device)
    wave = sum(draw(4 + k, most)[:, None] * ((k + 1) * along).cos() for k, most in enumerate(TONE))
    assert isinstance(wave, Tensor)
    level = level + wave[:, None, :, None] * (level > 0.05)
    middle = level.mean((2, 3), keepdim=True)
    level = torch.where(hidden(combine(8, key), bands, BANDS * size)[:, None, :, None], middle, level)
    level = torch.where(hidden(combine(9, key), frames, MOMENTS * size)[:, None, None, :], middle, level)
    return (255 * level).round().clamp(0, 255).to(torch.uint8)


def hidden(key: Tensor, number: int, most: float) -> Tensor:
    """Return which of `number` places (N, number) are hidden: a run of up to the share `most` of them."""
    width = (uniform(combine(1, key), 0, 1) * min(most, 1.0) * number).floor()
    first = (uniform(combine(2, key), 0, 1) * (number - width)).floor()
    place = torch.arange(number, device=key.device)
    return (place >= first[:, None]) & (place < (first + width)[:, None])
