"""From files of rows to what a run on arrays reads: columns as training taught, labels as classes or numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metarun.data.tables import own
from metarun.data.tables.encoding import Encoding
from metarun.data.tabular import ID, NUMBER, Table, number_problem, open_table
from metarun.errors import MetarunError, did_you_mean

PLAIN = "label"
"""The column of labels where a run was on plain arrays, whose columns have no names."""


class Rows(NamedTuple):
    """Rows of a file."""

    x: Tensor  # (N, D)
    label: list[str] | NDArray[np.float64] | None  # names of classes, or numbers; None where the file has no labels


class Reader:
    """Reads support and query files of one run; `told`: what its dataset said of its rows, None for plain arrays."""

    def __init__(self, told: dict[str, Any] | None, width: int, classifies: bool) -> None:
        self.told, self.width, self.classifies = told or {}, width, classifies
        self.target: str = self.told.get("target", PLAIN)
        self.classes: list[str] = list(self.told.get("classes", ()))
        self.words: dict[str, list[str]] = self.told.get("words", {})
        self.unit: tuple[float, float] = tuple(self.told.get("unit", (0.0, 1.0)))
        self.encoding = Encoding.of(self.told["encoding"]) if told else None

    def read(self, path: Path, option: str, labelled: bool) -> Rows:
        """Return the rows of a file; labelled: it must have labels.

        Raises:
            MetarunError: a file or a column that is not there, an empty file, a field that is wrong, with its line.
        """
        table = open_table(path, option, "auto", "utf-8", None)
        names = self.features(table)
        self.check(table, names, option, labelled)
        has = self.target in table.names
        kinds = {name: ID if name in self.words else NUMBER for name in names}
        kinds |= {self.target: ID if self.classifies else NUMBER} if has else {}
        parts: dict[str, list[Any]] = {name: [] for name in kinds}
        for chunk in table.chunks(kinds):
            for name in kinds:
                parts[name].append(chunk[name])
        if not sum(map(len, parts[names[0]])):
            raise MetarunError(f"{option} {path}: has a header, but no rows")
        columns = own.Columns(self.target, None, names, list(self.words))
        values = np.column_stack([self.column(table, name, parts[name], columns) for name in names])
        if self.encoding is None and np.isnan(values).any():
            row, column = map(int, np.argwhere(np.isnan(values))[0])
            raise MetarunError(f"{path} {table.place(row)}: column '{names[column]}' is empty: fill it in")
        x = self.encoding(values) if self.encoding else values.astype(np.float32)
        return Rows(torch.from_numpy(x), self.labels(table, parts[self.target]) if has else None)

    def features(self, table: Table) -> list[str]:
        """Return the columns that are read: those of training, or all but the label."""
        return list(self.told.get("columns", ())) or [name for name in table.names if name != self.target]

    def check(self, table: Table, names: list[str], option: str, labelled: bool) -> None:
        """Raise MetarunError for a column that is missing."""
        for name in [*names, *([self.target] if labelled else [])]:
            if name not in table.names:
                raise MetarunError(
                    f"{option} {table.path}: has no column '{name}', which the run reads."
                    f"{did_you_mean(name, table.names)} It has {', '.join(table.names)}"
                )
        if not self.told and len(names) != self.width:
            raise MetarunError(
                f"{option} {table.path}: has {len(names)} columns beside '{self.target}', and the run reads "
                f"{self.width}"
            )

    def column(self, table: Table, name: str, parts: list[Any], columns: own.Columns) -> NDArray[np.float64]:
        """Return a column (N,) as training numbered it; nan for a hole and for a category that it never saw."""
        known: dict[str, list[str]] = {}
        values = own.feature(table, name, parts, columns, known)
        if name not in known:
            return values
        place = {text: float(number) for number, text in enumerate(self.words[name])}
        again = np.array([place.get(text, np.nan) for text in known[name]] + [np.nan])
        found: NDArray[np.float64] = again[np.where(np.isnan(values), -1, values).astype(int)]
        return found

    def labels(self, table: Table, parts: list[Any]) -> list[str] | NDArray[np.float64]:
        """Return labels (N,), classes by name. Raises MetarunError for an empty one, or one that training never had."""
        if not self.classifies:
            found = np.concatenate([part.to_numpy(np.float64) for part in parts])
            if not np.isfinite(found).all():
                own.refuse(table, self.target, number_problem)
            return found
        code, names = own.categories(table, self.target, parts, may_miss=False)
        for number, name in enumerate(names):
            if self.classes and name not in self.classes:
                row = int(np.flatnonzero(code == number)[0])
                raise MetarunError(
                    f"{table.path} {table.place(row)}: column '{self.target}' has '{name}', and the classes of the run "
                    f"are {', '.join(self.classes)}.{did_you_mean(name, self.classes)}"
                )
        return [names[number] for number in code]
