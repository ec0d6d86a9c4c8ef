"""Tables of the user's own: CSV, TSV and Parquet behind one face, with the line of whatever is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from metarun.errors import MetarunError, did_you_mean

CHUNK = 500_000  # rows parsed at once
TEXT = (".csv", ".tsv", ".tab", ".txt", ".dat", ".data", ".inter", ".item", ".user")
PARQUET = (".parquet", ".pq")
ID, NUMBER, WORDS = "id", "number", "words"
"""What a column is read as: text that repeats, float64, text that does not."""


class Table(Protocol):
    """A table on the disk, read in chunks of rows."""

    path: Path
    names: list[str]  # of the columns
    how: str  # "separated by commas": said to the user

    def chunks(self, kinds: dict[str, str]) -> Iterator[dict[str, Any]]:
        """Yield column -> pandas Series for the named columns, read as ID, NUMBER or WORDS."""
        ...

    def place(self, row: int) -> str:
        """Return where a row (from 0) is: "line 17" of a text, "row 16" of Parquet."""
        ...

    def first(self, column: str, wrong: Callable[[str], str | None]) -> tuple[str, str] | None:
        """Return (place, reason) of the first field of a column that is wrong."""
        ...

    def numeric(self, column: str) -> bool:
        """Return whether a column begins with numbers rather than with text."""
        ...


def open_table(path: Path, option: str, separator: str, encoding: str, columns: list[str] | None) -> Table:
    """Return the table in a file; `option` names the file in errors ("dataset.path").

    Raises:
        MetarunError: no such file, a folder, a kind of file that is not read, an empty or unreadable one.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    suffix = suffixes[-1] if suffixes else ""
    bare = suffixes[-2] if suffix == ".gz" and len(suffixes) > 1 else suffix
    if path.is_dir():
        raise MetarunError(f"{option}={path}: is a folder; name a file in it")
    if not path.exists():
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        hint = did_you_mean(path.name, beside) or (
            " `metarun data template ratings` writes an example." if option == "dataset.path" else ""
        )
        raise MetarunError(f"{option}={path}: no such file.{hint}")
    if bare not in TEXT and not (bare in PARQUET and suffix != ".gz"):
        raise MetarunError(
            f"{option}={path}: its suffix is '{suffix}', but what is read is .csv, .tsv or .txt, each also as .gz, "
            "and .parquet; export the table as one of them"
        )
    try:
        if bare in PARQUET:
            from metarun.data.parquet import ParquetTable

            section = option.rpartition(".")[0]
            for name, value, usual in (("columns", columns, None), ("separator", separator, "auto")):
                if value != usual:
                    raise MetarunError(f"{section}.{name}={value}: is for text, but {path} is Parquet; leave it out")
            return ParquetTable(path)
        from metarun.data.delimited import TextTable

        return TextTable(path, option.rpartition(".")[0], separator, encoding, columns, tabs=bare in (".tsv", ".tab"))
    except OSError as error:
        raise MetarunError(f"{option}={path}: cannot be read ({error.strerror or error})") from error


def check_column(path: Path, option: str, column: str, names: list[str]) -> None:
    """Raise MetarunError where there is no such column."""
    if column not in names:
        raise MetarunError(
            f"{option}={column}: {path} has no such column.{did_you_mean(column, names)} It has {', '.join(names)}"
        )


def coded(series: Any) -> tuple[NDArray[np.int64], NDArray[np.object_]]:
    """Return (codes (rows,), texts) of a column of ids; -1 where it is empty. Whole numbers read as such."""
    import pandas as pd

    codes, index = pd.factorize(series)
    texts = [value if type(value) is str else text_of(value) for value in np.asarray(index, dtype=object)]
    return codes.astype(np.int64), np.array(texts, dtype=object)


def text_of(value: Any) -> str:
    """Return a value of Parquet as text: whole floats as "12", for there a column has one kind; lists as "a|b"."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, np.ndarray | list):
        return "|".join(map(text_of, value))
    return str(value)


def number_problem(text: str) -> str | None:
    """Return why a field is not a finite number, or None."""
    if not text.strip():
        return "is empty"
    try:
        value = float(text)
    except ValueError:
        hint = " (decimals are written with a point)" if text.replace(",", "", 1).strip("-").isdigit() else ""
        return f"'{text[:80]}' is not a number{hint}"
    if "_" in text or value != value or value in (float("inf"), float("-inf")):
        return f"'{text[:80]}' is not a finite number"
    return None
