"""The user's own table: a column that is to be predicted, and perhaps one that says whose a row is."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metarun.data.labelled import LabelledRows, assemble
from metarun.data.tabular import ID, NUMBER, Table, check_column, coded, number_problem
from metarun.errors import MetarunError

MOST = 100
"""Categories of a column, and classes, at most."""


class Columns(NamedTuple):
    """Which columns are what."""

    target: str
    group: str | None
    features: list[str]
    words: list[str]  # those of the features that are categories


def chosen(table: Table, target: str, group: str | None, features: list[str] | None) -> Columns:
    """Return the columns to be read; features None: all others.

    Raises:
        MetarunError: a column that the table does not have, or no feature at all.
    """
    named = [("dataset.target", target), *(("dataset.features", name) for name in features or [])]
    for option, name in [*named, *([("dataset.group", group)] if group else [])]:
        check_column(table.path, option, name, table.names)
    used = features or [name for name in table.names if name not in (target, group)]
    if not used:
        raise MetarunError(f"{table.path}: no column but the target and the group, so there is no feature")
    return Columns(target, group, used, [name for name in used if not table.numeric(name)])


def read(path: Path, table: Table, columns: Columns, numbers: bool) -> tuple[LabelledRows, dict[str, list[str]]]:
    """Return the rows and the categories of each column of words; an empty field is a hole.

    numbers: whether the target is a number rather than a class.

    Raises:
        MetarunError: no row, an empty target or group, one class alone, too many categories; with the line.
    """
    kinds = {name: ID if name in columns.words else NUMBER for name in columns.features}
    kinds[columns.target] = NUMBER if numbers else ID
    if columns.group:
        kinds[columns.group] = ID
    chunks: dict[str, list[Any]] = {name: [] for name in kinds}
    for chunk in table.chunks(kinds):
        for name in kinds:
            chunks[name].append(chunk[name])
    if not chunks[columns.target] or not sum(map(len, chunks[columns.target])):
        raise MetarunError(f"{path}: has a header, but no rows")
    known: dict[str, list[str]] = {}
    inputs = np.column_stack([feature(table, name, chunks[name], columns, known) for name in columns.features])
    names: list[str] = []
    if numbers:
        label = np.concatenate([part.to_numpy(np.float32) for part in chunks[columns.target]])
        if not np.isfinite(label).all():
            refuse(table, columns.target, number_problem)
        classes: list[str] = []
    else:
        label, classes = categories(table, columns.target, chunks[columns.target], may_miss=False)
        if len(classes) < 2:
            raise MetarunError(f"{path}: column '{columns.target}' has one class, '{classes[0]}'; two are needed")
    group = None
    if columns.group:
        group, names = categories(table, columns.group, chunks[columns.group], may_miss=False, most=None)
    rows = assemble(f"table_csv/{path.stem}", inputs, label, classes, group, names or ("all",))
    return rows, known


def feature(
    table: Table, name: str, parts: list[Any], columns: Columns, known: dict[str, list[str]]
) -> NDArray[np.float64]:
    """Return a column (N,): numbers, or the numbers of its categories, nan for holes."""
    if name not in columns.words:
        values = np.concatenate([part.to_numpy(np.float64) for part in parts])
        if not np.isfinite(values).all():
            refuse(table, name, lambda text: number_problem(text) if text.strip() else None, holes=True)
        return values
    code, known[name] = categories(table, name, parts, may_miss=True)
    return np.where(code < 0, np.nan, code.astype(np.float64))


def categories(
    table: Table, name: str, parts: list[Any], may_miss: bool, most: int | None = MOST
) -> tuple[NDArray[np.int64], list[str]]:
    """Return codes (N,) into ascending texts; -1 where empty, which is refused with its line if it may not be."""
    texts: list[str] = []
    for part in parts:
        code, words = coded(part)
        kept = [str(word).strip() for word in words] or [""]
        texts += [kept[place] if place >= 0 else "" for place in code]
    names = sorted({text for text in texts if text})
    if not may_miss and "" in texts:
        raise MetarunError(f"{table.path} {table.place(texts.index(''))}: column '{name}' is empty: fill it in")
    if most is not None and len(names) > most:
        raise MetarunError(
            f"{table.path}: column '{name}' has {len(names)} different values, more than {most}: leave it out of "
            "dataset.features, or, if it is the target, set dataset.labels=numbers"
        )
    number = {text: place for place, text in enumerate(names)}
    return np.array([number.get(text, -1) for text in texts], dtype=np.int64), names


def refuse(table: Table, name: str, wrong: Any, holes: bool = False) -> None:
    """Raise MetarunError with the line of the first field of a column that is wrong; return if none is."""
    found = table.first(name, wrong)
    if found is None and holes:
        return
    place, why = found or ("somewhere", "is no finite number")
    raise MetarunError(f"{table.path} {place}: column '{name}' {why}")
