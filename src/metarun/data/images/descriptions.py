"""What a user knows about classes before an image of them is seen: a table beside the folders."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metarun.errors import MetarunError, did_you_mean

FILE = "descriptions.csv"


def read(path: Path, classes: Sequence[str]) -> NDArray[np.float32]:
    """Return the attributes (classes, A) of a CSV file with a header, the class's name in the first column.

    Raises:
        MetarunError: no attribute, a class that is missing, unknown or there twice, or a cell that is not a number.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            header = next(reader, [])
            lines = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MetarunError(f"{path} cannot be read as a CSV file in UTF-8 ({error}).") from error
    if len(header) < 2:
        raise MetarunError(
            f"{path} has no attributes: its first line must name the class column and one or more others."
        )
    found: dict[str, list[float]] = {}
    for line, row in lines:
        if len(row) != len(header):
            raise MetarunError(f"{path} line {line} has {len(row)} cells, but the first line has {len(header)}.")
        name = row[0].strip()
        if name in found:
            raise MetarunError(f"{path} line {line} describes {name} a second time: keep one line for each class.")
        if name not in classes:
            raise MetarunError(f"{path} line {line}: there is no class folder '{name}'.{did_you_mean(name, classes)}")
        found[name] = [
            _number(cell, f"{path} line {line}, {column}") for cell, column in zip(row[1:], header[1:], strict=True)
        ]
    missing = [name for name in classes if name not in found]
    if missing:
        raise MetarunError(f"{path} describes {len(found)} of {len(classes)} classes: add a line for {missing[0]}.")
    return np.array([found[name] for name in classes], np.float32)


def _number(cell: str, where: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not abs(value) <= float(np.finfo(np.float32).max):
        raise MetarunError(f"{where}: '{cell}' is not a finite number.")
    return value
