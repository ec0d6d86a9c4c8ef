"""The user's own table as a dataset of runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from metarun.data.labelled import LabelledRows
from metarun.data.table_data import TableData
from metarun.data.tables import own
from metarun.data.tabular import open_table
from metarun.errors import MetarunError, did_you_mean


class TableCsv(TableData):
    """A table (.csv, .tsv, .txt, also .gz, or .parquet) with a target and perhaps a column of groups."""

    def __init__(
        self,
        path: str | None,
        target: str,
        labels: str,
        group: str | None,
        positive: str | None,
        features: list[str] | None,
        separator: str,
        encoding: str,
        columns: list[str] | None,
        **view: Any,
    ) -> None:
        """labels: "classes" or "numbers"; see `own.chosen` and `looked_for`; view: what all groups are asked for."""
        super().__init__(**view)
        self.path, self.target, self.kinds, self.group, self.features = path, target, labels, group, features
        self.positive = positive
        self.text = (separator, encoding, columns)
        self.kind = group or "sample"
        self.cells = [f"new {self.kind}"]

    def read(self) -> LabelledRows:
        """Return the rows."""
        if not self.path:
            raise MetarunError("dataset=table_csv: name your table, dataset.path=FILE, and its column dataset.target")
        path = Path(self.path).expanduser()
        table = open_table(path, "dataset.path", *self.text)
        columns = own.chosen(table, self.target, self.group, self.features)
        rows, self.words = own.read(path, table, columns, self.kinds == "numbers")
        self.columns = columns.features
        self.categories = [place for place, name in enumerate(columns.features) if name in columns.words]
        return rows if self.positive is None else looked_for(rows, self.positive)


def looked_for(rows: LabelledRows, positive: str) -> LabelledRows:
    """Return the rows with one of their two classes as the second. Raises MetarunError where it is none of two."""
    if len(rows.classes) != 2 or positive not in rows.classes:
        raise MetarunError(
            f"dataset.positive={positive}: names one of two classes, and {rows.name} has {', '.join(rows.classes[:20])}"
            f".{did_you_mean(positive, rows.classes)}"
        )
    if rows.classes[1] == positive:
        return rows
    return replace(rows, classes=rows.classes[::-1], label=1 - rows.label)
