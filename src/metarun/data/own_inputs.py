"""The user's own rows of several inputs: a table whose columns name image files and sound files, or hold numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metarun.data.named_files import pictures, sounds, spelled
from metarun.data.tabular import ID, NUMBER, WORDS, Table, check_column, number_problem, open_table
from metarun.errors import MetarunError

MISSING, STEPS = 128, 32
"""The byte of a number that is missing or the mean, and how many bytes a standard deviation is."""


class Form(NamedTuple):
    """How files become arrays, and which columns are what."""

    images: list[str]
    clips: list[str]
    numbers: list[str]
    side: int  # pixels
    channels: int
    rate: int  # Hz
    samples: int
    bands: int


class Found(NamedTuple):
    """What a table holds."""

    media: dict[str, NDArray[np.uint8]]  # (N, ...) of each image and clip
    there: dict[str, NDArray[np.bool_]]  # (N,) which rows have it
    numbers: NDArray[np.float64]  # (N, F), nan where a field is empty
    labels: list[str] | None  # (N,)
    groups: list[str] | None  # (N,)


def read(path: Path, option: str, form: Form, label: str | None, group: str | None, text: dict[str, Any]) -> Found:
    """Return the rows of a table; label, group: columns, None for none; text: separator, encoding and columns.

    Raises:
        MetarunError: a column or a file that is not there, a file that cannot be read, an empty label, with its line.
    """
    table = open_table(path, option, **text)
    named = [("images", form.images), ("clips", form.clips), ("numbers", form.numbers)]
    told = [("label", [label] if label else []), ("group", [group] if group else [])]
    for what, columns in [*named, *told]:
        for column in columns:
            check_column(path, f"dataset.{what}", column, table.names)
    kinds = dict.fromkeys([*form.images, *form.clips], WORDS)
    kinds |= dict.fromkeys(form.numbers, NUMBER)
    kinds |= dict.fromkeys([column for column in (label, group) if column], ID)
    values: dict[str, list[Any]] = {column: [] for column in kinds}
    for chunk in table.chunks(kinds):
        for column in kinds:
            values[column] += list(chunk[column])
    if not values or not len(next(iter(values.values()))):
        raise MetarunError(f"{option}={path}: has a header, but no rows")
    words = {column: [spelled(value) for value in values[column]] for column in kinds if column not in form.numbers}
    for column in [name for name in (label, group) if name]:
        if "" in words[column]:
            raise MetarunError(f"{path} {table.place(words[column].index(''))}: column '{column}' is empty: fill it in")
    shape = (form.channels, form.side, form.side)
    media = {column: pictures(table, column, words[column], shape) for column in form.images}
    heard = (form.rate, form.samples, form.bands)
    media |= {column: sounds(table, column, words[column], *heard) for column in form.clips}
    there = {column: np.array([bool(name) for name in words[column]]) for column in media}
    numbers = np.column_stack([numeric(table, column, values[column]) for column in form.numbers] or [np.zeros((0, 0))])
    return Found(media, there, numbers, words[label] if label else None, words[group] if group else None)


def numeric(table: Table, column: str, values: Sequence[Any]) -> NDArray[np.float64]:
    """Return a column of numbers (N,), nan where a field is empty. Raises MetarunError for what is no number."""
    found = np.array(values, np.float64)
    if np.isnan(found).any():
        wrong = table.first(column, lambda text: number_problem(text) if text.strip() else None)
        if wrong is not None:
            raise MetarunError(f"{table.path} {wrong[0]}: column '{column}': {wrong[1]}")
    return found


def as_bytes(
    numbers: NDArray[np.float64], middle: NDArray[np.float64], spread: NDArray[np.float64]
) -> NDArray[np.uint8]:
    """Return numbers (N, F) as bytes, STEPS to a standard deviation, within four of the mean; a hole is the mean."""
    level = MISSING + STEPS * (numbers - middle) / spread
    found: NDArray[np.uint8] = np.nan_to_num(level, nan=MISSING).round().clip(0, 255).astype(np.uint8)
    return found
