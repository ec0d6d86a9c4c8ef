"""The user's own stream as a dataset of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from metarun.data.streamed import Rows, Streamed
from metarun.data.streams import own
from metarun.data.tabular import open_table
from metarun.errors import MetarunError


class StreamCsv(Streamed):
    """A table (.csv, .tsv, .txt, also .gz, or .parquet) of rows in the order of time."""

    def __init__(
        self,
        path: str | None,
        label: str,
        labels: str,
        features: list[str] | None,
        time: str | None,
        separator: str,
        encoding: str,
        columns: list[str] | None,
        **view: Any,
    ) -> None:
        """labels: "classes" or "numbers"; see `own.chosen`; view: what every stream is asked for."""
        super().__init__(**view)
        self.path, self.label, self.labels, self.features, self.time = path, label, labels, features, time
        self.text = (separator, encoding, columns)

    def read(self) -> Rows:
        """Return the rows."""
        if not self.path:
            raise MetarunError("dataset=stream_csv: name your table, dataset.path=FILE, and its column of labels")
        path = Path(self.path).expanduser()
        table = open_table(path, "dataset.path", *self.text)
        columns = own.chosen(table, self.label, self.features, self.time, self.labels == "numbers")
        rows = own.read(path, columns, table)
        unused = [name for name in table.names if name not in (*columns.features, columns.label, columns.time)]
        self.notes = [f"{path.name}: columns {', '.join(unused)} are no features"] if unused else []
        return rows

    def left_out(self) -> list[str]:
        """Return which columns are no features."""
        return self.notes
