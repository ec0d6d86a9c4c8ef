"""An example of a user's own rows of several inputs: a photo, a sound and a weight of things in three shops."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from metarun import atomic
from metarun.data.audio.decode import need
from metarun.data.audio.template import RATE, sound
from metarun.data.images.decode import need_pillow
from metarun.errors import MetarunError

SHOPS, KINDS, EACH = ("east", "north", "west"), ("bell", "bowl", "drum"), 16
EMPTY = 0.1
"""Share of the fields that are empty."""


def write(folder: Path) -> Path:
    """Write things.csv and the files that it names into a folder, and return the table's path.

    Raises:
        MetarunError: the folder cannot be written, or there is nothing to write images and sound with.
    """
    images, soundfile, rng = need_pillow(), need("soundfile"), np.random.default_rng(0)
    rows: list[list[object]] = [["photo", "sound", "weight", "shop", "label"]]
    try:
        for name in ("photos", "sounds"):
            (folder / name).mkdir(parents=True)
        for number in range(len(SHOPS) * len(KINDS) * EACH):
            kind = number % len(KINDS)
            picture = np.full((32, 32), 40.0)
            picture[8 + 4 * kind : 28, 6 : 26 - 4 * kind] = 200
            pixels = np.clip(picture + rng.normal(0, 20, picture.shape), 0, 255).astype(np.uint8)
            images.fromarray(pixels).save(folder / f"photos/{number}.png")
            soundfile.write(folder / f"sounds/{number}.wav", sound(3 * kind, rng.normal(1, 0.03), rng), RATE)
            fields = [f"photos/{number}.png", f"sounds/{number}.wav", f"{1 + kind + rng.normal(0, 0.4):.2f}"]
            given = [field if rng.random() > EMPTY else "" for field in fields]
            rows.append([*given, SHOPS[number // (len(KINDS) * EACH)], KINDS[kind]])
    except OSError as error:
        raise MetarunError(f"{folder} cannot be written ({error.strerror or error}): give another, --to") from error
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    atomic.write_text(folder / "things.csv", text.getvalue())
    return folder / "things.csv"
