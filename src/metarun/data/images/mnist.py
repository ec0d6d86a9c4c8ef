"""MNIST: 70,000 handwritten digits, 28 x 28 (LeCun et al., Proceedings of the IEEE 86, 1998)."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metarun.data.images import official
from metarun.data.images.images import Images, assemble
from metarun.data.images.official import Official
from metarun.data.images.segments import SEGMENTS
from metarun.errors import MetarunError

HOME = "https://ossci-datasets.s3.amazonaws.com/mnist/"  # where PyTorch keeps it; the first home answers no longer
MD5 = {
    "train-images-idx3-ubyte": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte": "ec29112dd5afa0611ce80d1b7f02629c",
}
COUNTS = {"train": 60_000, "t10k": 10_000}
SIDE = 28
FOLDERS = ("mnist", "MNIST/raw", "mnist/MNIST/raw")  # torchvision's is the second


def read(folder: Path | None = None) -> Images:
    """Return the official training images and then the official test images.

    `folder` (default: METARUN_DATA) holds the four idx files, as .gz or unpacked, in mnist/, MNIST/raw/ or directly;
    what is missing is downloaded.

    Raises:
        MetarunError: not found and not to be had, cut off, or not what the name says.
    """
    places = fetch(folder)
    pixels, labels = [], []
    for part, count in COUNTS.items():
        pixels.append(_idx(places[f"{part}-images-idx3-ubyte"], (count, SIDE, SIDE)))
        labels.append(_idx(places[f"{part}-labels-idx1-ubyte"], (count,)))
        if labels[-1].max() > 9:
            raise MetarunError(
                f"{places[f'{part}-labels-idx1-ubyte']} holds the label {labels[-1].max()}, not 0 to 9 only."
            )
    train = len(labels[0])
    rows = np.arange(train + len(labels[1]))
    return assemble(
        "mnist",
        np.concatenate(pixels)[:, None],
        np.concatenate(labels).astype(np.int64),
        [str(digit) for digit in range(10)],
        {"train": rows[:train], "test": rows[train:]},
        SEGMENTS,
    )


def here(home: Path) -> dict[str, Path | None]:
    """Return where in the data folder each official file is, packed or not, and None for what is not there."""
    return {name: _find(name, home) for name in MD5}


def fetch(folder: Path | None = None) -> dict[str, Path]:
    """Return where the official files are, after downloading what is not there yet.

    Raises:
        MetarunError: no network, a wrong checksum, a folder that cannot be written.
    """
    home = official.data_folder(folder)
    return {name: place or _fetch(name, home) for name, place in here(home).items()}


def _idx(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return the bytes of an idx file, which begins with 0, 0, 8 for bytes, the number of axes, and their lengths."""
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise MetarunError(f"{path} is damaged or cut off ({error}): delete it and fetch it again.") from error
    expected = struct.pack(f">4B{len(shape)}I", 0, 0, 8, len(shape), *shape)
    found, wanted = len(content) - len(expected), math.prod(shape)
    if not content.startswith(expected):
        raise MetarunError(
            f"{path} does not begin as an idx file of {' x '.join(map(str, shape))} bytes: "
            "place the official file there."
        )
    if found != wanted:
        raise MetarunError(f"{path} holds {found} of {wanted} bytes: delete it and fetch it again.")
    return np.frombuffer(content, np.uint8, offset=len(expected)).reshape(shape)


def _find(name: str, home: Path) -> Path | None:
    for place in (*(home / folder for folder in FOLDERS), home):
        for path in (place / f"{name}.gz", place / name):
            if path.is_file():
                return path
    return None


def _fetch(name: str, home: Path) -> Path:
    return official.fetch(Official(FOLDERS[0], f"{HOME}{name}.gz", MD5[name]), "MNIST", home)
