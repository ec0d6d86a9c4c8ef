"""The Free Spoken Digit Dataset: ten digits, six speakers, fifty recordings of each; Jackson et al., 2016 to 2020."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from metarun.data.audio.decode import Samples, decode, fitted
from metarun.data.images.official import data_folder
from metarun.data.labelled import LabelledRows, assemble
from metarun.errors import MetarunError

RATE = 8000
FOLDER, ARCHIVE, INSIDE = "free-spoken-digit-dataset", "recordings.zip", "recordings"
HOME = "https://github.com/Jakobovski/free-spoken-digit-dataset"
NAME = re.compile(r"(\d)_([a-z]+)_(\d+)\.wav")
TESTS = 5
"""Recordings of every digit and speaker that are the official test set: the first ones."""


def read(folder: Path | None, seconds: float) -> LabelledRows:
    """Return all recordings (N, samples), a speaker as a group.

    Raises:
        MetarunError: they are not there, or damaged.
    """
    clips: list[Samples] = []
    found: list[tuple[int, str, int]] = []
    for place, content in files(data_folder(folder) / FOLDER):
        known = NAME.fullmatch(place.rsplit("/", 1)[-1])
        if known is not None:
            found.append((int(known[1]), known[2], int(known[3])))
            clips.append(decode(io.BytesIO(content), place, RATE))
    if not found:
        raise MetarunError(f"spoken_digits: {data_folder(folder) / FOLDER} has no recording DIGIT_SPEAKER_NUMBER.wav")
    speakers, digits = sorted({who for _, who, _ in found}), sorted({digit for digit, _, _ in found})
    return assemble(
        "spoken digits",
        fitted(clips, round(seconds * RATE)),
        np.array([digits.index(digit) for digit, _, _ in found], np.int64),
        [str(digit) for digit in digits],
        np.array([speakers.index(who) for _, who, _ in found], np.int64),
        speakers,
        {"test": np.flatnonzero([number < TESTS for _, _, number in found])},
    )


def files(home: Path) -> Iterator[tuple[str, bytes]]:
    """Yield (where, content) of the recordings of a packed or unpacked copy, in the order of their names.

    Raises:
        MetarunError: there is none, or the archive is damaged.
    """
    if (home / INSIDE).is_dir():
        for path in sorted((home / INSIDE).glob("*.wav")):
            yield str(path), path.read_bytes()
    elif (home / ARCHIVE).is_file():
        try:
            with zipfile.ZipFile(home / ARCHIVE) as archive:
                for name in sorted(archive.namelist()):
                    if name.endswith(".wav"):
                        yield f"{home / ARCHIVE}: {name}", archive.read(name)
        except (zipfile.BadZipFile, OSError) as error:
            raise MetarunError(f"{home / ARCHIVE} is damaged ({error}): fetch it again from {HOME}") from None
    else:
        raise MetarunError(
            f"spoken_digits: neither {INSIDE}/ nor {ARCHIVE} is in {home}: clone {HOME} there, or set METARUN_DATA "
            f"(paths.data) to the folder that has {FOLDER}"
        )
