"""Random numbers as a hash of their place, so that they survive vmap, resume and any order of evaluation."""

from __future__ import annotations

import torch
from torch import Tensor

MASK = 0xFFFFFFFF


def mix(h: Tensor) -> Tensor:
    """Return a 32-bit hash of 32-bit integers held in int64 (Wellons' low-bias mixer)."""
    h = h & MASK
    h = ((h ^ (h >> 16)) * 0x7FEB352D) & MASK
    h = ((h ^ (h >> 15)) * 0x846CA68B) & MASK
    return h ^ (h >> 16)


def combine(seed: int, *parts: Tensor | int) -> Tensor:
    """Return a 32-bit hash of a seed and broadcastable integers."""
    h = mix(torch.tensor(seed, dtype=torch.int64) + 0x9E3779B9)
    for part in parts:
        part = torch.as_tensor(part, dtype=torch.int64)
        h = mix(h * 31 + mix(part) + mix(part >> 32))
    return h


def below(h: Tensor, limit: Tensor) -> Tensor:
    """Return integers in [0, limit) from hashes, by multiplication."""
    return (h * limit) >> 32


def uniform(key: Tensor, low: float, high: float) -> Tensor:
    """Return numbers uniform in [low, high) from hashes."""
    return low + (high - low) * (key.double() / 2**32).float()
