"""The user's own clips: a folder of words, or of speakers that have a folder of each word."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from metarun.data.audio.decode import decode, fitted
from metarun.data.labelled import LabelledRows, assemble
from metarun.errors import MetarunError

ENDINGS = (".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif")
LAYOUTS = {1: "{home}/WORD/CLIP.wav", 2: "{home}/SPEAKER/WORD/CLIP.wav"}


def read(path: str, dataset: str, rate: int, seconds: float, depth: int) -> LabelledRows:
    """Return the clips (N, samples) of a folder, a word as a class; depth 2: of speakers, each of them a group.

    Hidden files, links and other files are passed over.

    Raises:
        MetarunError: no such folder, nothing in it, a file that is no sound, empty or silent; it is named.
    """
    home = Path(path).expanduser()
    layout = LAYOUTS[depth].format(home=home)
    if not home.is_dir():
        kind = "is a file, not a folder" if home.exists() else "does not exist"
        raise MetarunError(f"dataset.path={path} {kind}: name a folder that is laid out as {layout}")
    found = sorted(home.glob("/".join("*" * (depth + 1))))
    files = [file for file in found if file.suffix.lower() in ENDINGS and not inner(home, file)]
    if not files:
        raise MetarunError(f"dataset.path={path} has no clip: lay it out as {layout} ({', '.join(ENDINGS)})")
    words = sorted({file.parent.name for file in files})
    speakers = sorted({file.parent.parent.name for file in files}) if depth > 1 else ["all"]
    return assemble(
        f"{dataset}/{home.resolve().name}",
        fitted([decode(file, str(file), rate) for file in files], round(seconds * rate)),
        np.array([words.index(file.parent.name) for file in files], np.int64),
        words,
        np.array([speakers.index(file.parent.parent.name) if depth > 1 else 0 for file in files], np.int64),
        speakers,
    )


def inner(home: Path, file: Path) -> bool:
    """Return whether a file is hidden, in a hidden folder, or behind a link."""
    parts = file.relative_to(home).parts
    return any(part.startswith(".") for part in parts) or any(
        home.joinpath(*parts[: place + 1]).is_symlink() for place in range(len(parts))
    )
