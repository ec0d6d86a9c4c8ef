"""Small tables that people make by hand or export: CSV, TSV or Parquet, read without pandas.

Every complaint names the file, the line (of Parquet: the row) and the column.
"""

from __future__ import annotations

import csv
import difflib
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metarun.answers.catalogue import text
from metarun.data.column_names import USUAL
from metarun.errors import MetarunError

NAMES = {
    "user": tuple(USUAL["user"].split()),
    "item": ("item", "itemid", "movie", "movieid", "product", "productid", "title"),
    "rating": ("rating", "value", "stars", "score"),
    "timestamp": ("timestamp", "time", "date"),
    "title": ("title", "name"),
}


Read = tuple[list[str], list[Any], Sequence[int], str]


@dataclass(frozen=True)
class Table:
    """Columns by their standard names; cells as they stand in the file, without blanks around them."""

    path: Path
    columns: dict[str, list[Any]]
    lines: Sequence[int]
    place: str = "line"
    unread: Sequence[str] = ()  # columns of the file that are none of these

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.lines)

    def at(self, row: int, column: str | None = None) -> str:
        """Return where a cell is, "my.csv, line 3, column rating"."""
        return f"{self.path}, {self.place} {self.lines[row]}" + (f", column {column}" if column else "")

    def cells(self, column: str) -> list[Any]:
        """Return a column; raises MetarunError for a cell with nothing in it."""
        found = self.columns[column]
        for row, cell in enumerate(found):
            if cell is None or cell == "" or cell != cell:
                raise MetarunError(f"{self.at(row, column)}: there is nothing")
        return found

    @property
    def event(self) -> str | None:
        """The first column that is not read and has a usual name of events; None where there is none."""
        return next((name for name in self.unread if bare(name) in USUAL["event"].split()), None)

    def numbers(self, column: str) -> NDArray[np.float64]:
        """Return a column as numbers; raises MetarunError for a cell that is none."""
        cells = self.cells(column)
        try:
            found = np.array(cells, dtype=np.float64)
        except (TypeError, ValueError):
            found = np.array([_number(cell) for cell in cells])
        bad = np.flatnonzero(~np.isfinite(found))
        if len(bad):
            raise MetarunError(f"{self.at(int(bad[0]), column)}: '{cells[bad[0]]}' is not a number")
        return found

    def times(self) -> NDArray[np.int64]:
        """Return the column timestamp as seconds since 1970; numbers or ISO dates, 0 where there is no such column."""
        if "timestamp" not in self.columns:
            return np.zeros(len(self), np.int64)
        cells = self.cells("timestamp")
        try:
            return np.array(cells, dtype=np.float64).astype(np.int64)
        except (TypeError, ValueError):
            return np.array([self._time(row, cell) for row, cell in enumerate(cells)], dtype=np.int64)

    def _time(self, row: int, cell: Any) -> int:
        seconds = _number(cell)
        if math.isfinite(seconds):
            return int(seconds)
        try:
            moment = cell if isinstance(cell, datetime) else datetime.fromisoformat(str(cell))
        except ValueError:
            told = "neither seconds since 1970 nor a date like 2024-05-31"
            raise MetarunError(f"{self.at(row, 'timestamp')}: '{cell}' is {told}") from None
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def _number(cell: Any) -> float:
    try:
        return float(cell)
    except (TypeError, ValueError):
        return math.nan


def read(path: str | Path, needed: Sequence[str], optional: Sequence[str] = ()) -> Table:
    """Return the table in a file.

    Raises:
        MetarunError: it is missing, empty, not UTF-8, ragged, or lacks a column; a near miss is asked about.
    """
    path = Path(path)
    header, rows, lines, place = (_parquet if path.suffix.lower() in (".parquet", ".pq") else _delimited)(path)
    found = named(path, header, needed, optional)
    if not rows:
        raise MetarunError(f"{path} has column names ({', '.join(header)}) and no row below them")
    columns = {name: [row[position] for row in rows] for name, position in found.items()}
    unread = [name for position, name in enumerate(header) if position not in found.values()]
    return Table(path, columns, lines, place, unread)


def single_person(table: Table) -> None:
    """Raise MetarunError for a file whose column user, if there is one, names several people."""
    people = list(dict.fromkeys(map(text, table.cells("user")))) if "user" in table.columns else []
    if len(people) > 1:
        told = ", ".join(people[:3]) + (", ..." if len(people) > 3 else "")
        raise MetarunError(
            f"{table.path} has {len(people):,} people ({told}): use --users {table.path} --out FILE, "
            "or keep one person's rows"
        )


def named(path: Path, header: Sequence[str], needed: Sequence[str], optional: Sequence[str]) -> dict[str, int]:
    """Return the position of each column by its standard name."""
    plain = [bare(name) for name in header]
    found: dict[str, int] = {}
    for name in (*needed, *optional):
        places = [plain.index(alias) for alias in NAMES[name] if alias in plain]
        places = [place for place in places if place not in found.values()]
        if places:
            found[name] = places[0]
    missing = [name for name in (*needed, *optional) if name not in found]
    spare = [name for position, name in enumerate(header) if position not in found.values()]
    for name in missing:
        close = difflib.get_close_matches(name, [one.casefold() for one in spare], n=1, cutoff=0.7)
        if close or name in needed:
            typed = next((one for one in spare if close and one.casefold() == close[0]), None)
            hint = f" Did you mean '{name}' where it says '{typed}'?" if typed else ""
            wanted = ",".join(needed) + "".join(f"[,{one}]" for one in optional)
            raise MetarunError(
                f"{path}, line 1: no column '{name}'; the first line says {', '.join(header) or 'nothing'}, "
                f"it should say {wanted}.{hint}"
            )
    return found


def bare(name: str) -> str:
    """Return a column's name as names are compared: "eventtype" for "Event_type"."""
    return "".join(char for char in name.casefold() if char.isalnum())


def _bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MetarunError(f"cannot read {path}: {error.strerror}") from None
    if not data.strip():
        raise MetarunError(f"{path} is empty: its first line names the columns, as item,rating")
    return data


def _delimited(path: Path) -> Read:
    """Return (header, rows, their lines) of a file with commas, semicolons or tabs."""
    data = _bytes(path)
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or data[:2] == b"PK":
        kind = "a spreadsheet" if data[:2] == b"PK" else "UTF-16"
        raise MetarunError(f"{path} is {kind}: save it as CSV in UTF-8")
    try:
        written = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise MetarunError(
            f"{path}, line {line}: byte {data[error.start]:#04x} is not UTF-8: save the file as CSV in UTF-8"
        ) from None
    head = written.lstrip().partition("\n")[0]
    reader = csv.reader(io.StringIO(written, newline=""), delimiter=max(",;\t", key=head.count))
    header: list[str] = []
    rows: list[list[str]] = []
    lines: list[int] = []
    try:
        for cells in reader:
            row = [cell.strip() for cell in cells]
            if not any(row):
                continue
            if not header:
                header = row
                continue
            if len(row) != len(header):
                hint = "; a title with a comma in it needs quotes" if len(row) > len(header) else ""
                told = f"{len(row)} cells, and the first line names {len(header)} columns ({', '.join(header)})"
                raise MetarunError(f"{path}, line {reader.line_num}: {told}{hint}")
            rows.append(row)
            lines.append(reader.line_num)
    except csv.Error as error:
        raise MetarunError(f"{path}, line {reader.line_num}: {error}") from None
    return header, rows, lines, "line"


def _parquet(path: Path) -> Read:
    """Return (header, rows, their numbers) of a Parquet file."""
    arrow = pyarrow(path)
    if not path.is_file():
        raise MetarunError(f"cannot read {path}: there is no such file")
    try:
        table = arrow.parquet.read_table(path)
    except (OSError, ValueError) as error:  # pyarrow's own errors are among these
        raise MetarunError(f"cannot read {path} as Parquet: {str(error).splitlines()[0]}") from None
    columns = [column.to_pylist() for column in table.columns]
    return list(table.column_names), list(zip(*columns, strict=True)), range(1, table.num_rows + 1), "row"


def pyarrow(path: Path) -> Any:
    """Return pyarrow with its Parquet part; raises MetarunError with the command where it is not installed."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MetarunError(f"{path}: Parquet needs pyarrow: pip install pyarrow, or use .csv") from None
    return pyarrow
