"""The user's own stream: a table whose rows are in the order of time, read once into memory-mapped columns."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from metarun.data import kept
from metarun.data.streamed import Rows
from metarun.data.tabular import ID, NUMBER, WORDS, Table, check_column, coded, number_problem
from metarun.errors import MetarunError

VERSION = 1
MOST = 1000
"""Classes at most: more distinct labels than these are numbers, or ids."""


class Columns(NamedTuple):
    """What is read of a table."""

    label: str
    features: list[str]
    time: str | None
    numbers: bool  # whether labels are numbers rather than classes


def chosen(table: Table, label: str, features: list[str] | None, time: str | None, numbers: bool) -> Columns:
    """Return the columns to be read; features None: all others that begin with a number.

    Raises:
        MetarunError: a column that the table does not have, a feature of words, no feature at all.
    """
    named = [("dataset.label", label), *(("dataset.features", name) for name in features or [])]
    for option, name in [*named, *([("dataset.time", time)] if time else [])]:
        check_column(table.path, option, name, table.names)
    others = [name for name in table.names if name not in (label, time)]
    used = features or [name for name in others if table.numeric(name)]
    if not used:
        raise MetarunError(f"{table.path}: no column but the label and the time is of numbers, so there is no feature")
    return Columns(label, used, time, numbers)


def read(path: Path, columns: Columns, table: Table) -> Rows:
    """Return the rows, from the cache where the same file was read before.

    An empty label is one that never comes. Classes are numbered as they first appear in the file.

    Raises:
        MetarunError: a feature that is no finite number, rows out of order in time, fewer than two classes.
    """
    digest = hashlib.sha256(json.dumps([VERSION, *columns]).encode())
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    checksum = digest.hexdigest()
    place = kept.default_cache() / f"stream-{checksum[:16]}"
    if not whole(place):
        with tempfile.TemporaryDirectory() as folder:
            arrays, classes = parse(table, columns, Path(folder))
            kept.store(place, arrays, {"classes": classes}, lambda: whole(place), str(path))
    meta = json.loads((place / kept.META).read_text(encoding="utf-8"))
    # Opened to be copied on writing: torch does not take what may not be written.
    x, y = (torch.from_numpy(np.load(place / f"{name}.npy", mmap_mode="c")) for name in ("x", "y"))
    return Rows(x, y, columns.features, meta["classes"], [], path.name, checksum)


def whole(place: Path) -> bool:
    """Return whether a folder of the cache holds everything."""
    return all((place / name).is_file() for name in ("x.npy", "y.npy", kept.META))


def parse(table: Table, columns: Columns, folder: Path) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """Return features (N, F) float32, a file in a folder, labels (N,), and the names of the classes."""
    kinds = dict.fromkeys(columns.features, NUMBER)
    kinds[columns.label] = NUMBER if columns.numbers else ID
    if columns.time:
        kinds[columns.time] = NUMBER if table.numeric(columns.time) else WORDS
    labels: list[NDArray[Any]] = []
    known: dict[str, int] = {}
    rows, last = 0, None
    with (folder / "x.raw").open("wb") as file:
        for chunk in table.chunks(kinds):
            x = np.column_stack([chunk[name].to_numpy(np.float32) for name in columns.features])
            check_features(table, columns, x)
            last = in_order(table, columns, chunk, rows, last) if columns.time else None
            x.tofile(file)
            labels.append(numbered(table, chunk[columns.label], columns, known))
            rows += len(x)
    if not rows:
        raise MetarunError(f"{table.path}: has a header, but no rows")
    if not columns.numbers and len(known) < 2:
        raise MetarunError(
            f"{table.path}: column '{columns.label}' has {len(known)} class, at least two are needed "
            "(dataset.labels=numbers for labels that are numbers)"
        )
    x = np.memmap(folder / "x.raw", np.float32, "r", shape=(rows, len(columns.features)))
    return {"x": x, "y": np.concatenate(labels)}, list(known)


def check_features(table: Table, columns: Columns, x: NDArray[np.float32]) -> None:
    """Raise MetarunError with the line of the first feature that is no finite number."""
    for name, values in zip(columns.features, x.T, strict=True):
        if not np.isfinite(values).all():
            found = table.first(name, number_problem) or ("somewhere", "is no finite number in float32")
            raise MetarunError(
                f"{table.path} {found[0]}: column '{name}' {found[1]}; fill it in, or leave the column out of "
                "dataset.features"
            )


def in_order(table: Table, columns: Columns, chunk: dict[str, Any], first: int, last: Any) -> Any:
    """Return the last time of a chunk; raises MetarunError with the line where time goes back. Gaps are allowed."""
    name = columns.time
    assert name is not None
    time = chunk[name]
    if time.dtype == object or pd.api.types.is_string_dtype(time):
        time = pd.to_datetime(time, errors="coerce", format="mixed")
    if time.isna().any():
        row = first + int(np.flatnonzero(time.isna())[0])
        raise MetarunError(f"{table.path} {table.place(row)}: column '{name}' is no time: give numbers or dates")
    before = pd.concat([pd.Series([time.iloc[0] if last is None else last]), time[:-1]], ignore_index=True)
    back = np.flatnonzero((time.reset_index(drop=True) < before).to_numpy())
    if len(back):
        raise MetarunError(
            f"{table.path} {table.place(first + int(back[0]))}: column '{name}' goes back in time: sort the rows by it"
        )
    return time.iloc[-1]


def numbered(table: Table, column: Any, columns: Columns, known: dict[str, int]) -> NDArray[Any]:
    """Return labels (B,): classes by first appearance, -1 where empty; numbers in float32, nan where empty."""
    if columns.numbers:
        return column.to_numpy(np.float32)  # type: ignore[no-any-return]
    codes, texts = coded(column)
    for text in texts:
        known.setdefault(str(text).strip(), len(known))
    if len(known) > MOST:
        raise MetarunError(
            f"{table.path}: column '{columns.label}' has more than {MOST} distinct labels: set dataset.labels=numbers, "
            "or name another dataset.label"
        )
    number = np.array([known[str(text).strip()] for text in texts] or [-1], dtype=np.int64)
    return np.where(codes < 0, -1, number[codes])
