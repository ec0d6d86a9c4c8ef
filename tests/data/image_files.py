"""Small image files that the tests write themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def noise(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def save(path: Path, array, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return path


def birds(home: Path, shape=(6, 5)) -> Path:
    """Write two classes, two images and one, out of order, and return the folder."""
    for seed, name in enumerate(["wren/b.png", "wren/a.png", "crow/z.png"]):
        save(home / name, noise(shape, seed))
    return home
