"""Text tables: encoding, separator and header are found out first, rows are read by pandas' C parser."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from metarun.data import tabular
from metarun.errors import MetarunError

SEPARATORS = {"comma": ",", "tab": "\t", "semicolon": ";", "pipe": "|"}
HEAD = 1 << 18  # bytes looked at before anything is parsed
LINES = 50  # of them, to find the separator
MAGIC = {b"PK\x03\x04": "an Excel or zip file", b"PAR1": "Parquet", b"\x1f\x8b": "compressed by gzip"}


class TextTable:
    """A text table; see `tabular.Table`. Fields may be quoted; blank lines are passed over."""

    def __init__(
        self, path: Path, section: str, separator: str, encoding: str, columns: list[str] | None, tabs: bool
    ) -> None:
        self.path, self.section = path, section
        self.encoding = self._codec(encoding)
        head = self._head()
        self.separator = SEPARATORS.get(separator, separator)
        if separator == "auto":
            self.separator = "\t" if tabs else sniff(head, path)
        named = {mark: name for name, mark in SEPARATORS.items()}
        self.how = f"separated by {named[self.separator]}s"
        first, self.skipped = self._first_line()
        self.names = self._names(first, columns)

    def _codec(self, encoding: str) -> str:
        try:
            name = codecs.lookup(encoding).name
        except LookupError:
            raise MetarunError(
                f"{self.section}.encoding={encoding}: no such encoding; give utf-8, latin-1, utf-16 or the like"
            ) from None
        return "utf-8-sig" if name == "utf-8" else name

    def _open(self) -> IO[bytes]:
        return gzip.open(self.path) if self.path.suffix.lower() == ".gz" else self.path.open("rb")  # type: ignore[return-value]

    def _head(self) -> str:
        """Return whole lines from the start of the file as text. Raises MetarunError for what is no text."""
        try:
            with self._open() as file:
                raw = file.read(HEAD)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise MetarunError(f"{self.path}: is no whole gzip file ({error})") from None
        if not raw.strip():
            raise MetarunError(f"{self.path}: is empty")
        for magic, kind in MAGIC.items():
            if raw.startswith(magic):
                raise MetarunError(f"{self.path}: is {kind}, not text; export it as CSV or name it by what it is")
        wide = self.encoding.startswith(("utf-16", "utf-32"))
        if not wide and (raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or _alternating(raw)):
            raise MetarunError(f"{self.path} line 1: is UTF-16 text; {self._remedy('=utf-16')}")
        if not wide and b"\0" in raw:
            line = raw[: raw.index(b"\0")].count(b"\n") + 1
            raise MetarunError(f"{self.path} line {line}: holds zero bytes, so it is no text; export the table as CSV")
        # A character cut in two at the end is no fault of the file.
        text = codecs.getincrementaldecoder(self.encoding)("replace").decode(raw)
        return text if len(raw) < HEAD or "\n" not in text else text[: text.rindex("\n") + 1]

    def _first_line(self) -> tuple[list[str], int]:
        for number, fields in self.lines():
            return [field.strip() for field in fields], number
        raise MetarunError(f"{self.path}: is empty")

    def _names(self, first: list[str], columns: list[str] | None) -> list[str]:
        """Return the names of the columns, from the option or the first line."""
        shown = self.separator.join(first)[:80]
        if columns is None:
            numbers = sum(tabular.number_problem(field) is None for field in first)
            if numbers >= max(1, len(first) - 1):
                raise MetarunError(
                    f"{self.path} line 1: '{shown}' reads like data, not like names of columns; put a header line first"
                    f" or name the columns, {self.section}.columns=[user,item,rating,time]"
                )
            return first
        if [name.casefold() for name in columns] == [field.casefold() for field in first]:
            raise MetarunError(f"{self.path} line 1: '{shown}' is a header; leave out {self.section}.columns")
        if len(columns) != len(first):
            raise MetarunError(
                f"{self.path} line 1: '{shown}' has {len(first)} fields {self.how}, but {self.section}.columns names "
                f"{len(columns)}"
            )
        self.skipped = 0
        return list(columns)

    def lines(self) -> Iterator[tuple[int, list[str]]]:
        """Yield (number of the line, fields) of every line that is not blank, the header included."""
        try:
            with self._open() as raw, io.TextIOWrapper(raw, self.encoding, newline="") as file:
                reader = csv.reader(file, delimiter=self.separator)
                for fields in reader:
                    if fields and (len(fields) > 1 or fields[0].strip()):
                        yield reader.line_num, fields
        except UnicodeDecodeError:
            raise self._wrong_encoding() from None
        except csv.Error as error:
            raise MetarunError(f"{self.path} line {reader.line_num}: cannot be read ({error})") from None
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise MetarunError(f"{self.path}: is no whole gzip file ({error})") from None

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield (number of the line, fields) of every row. Raises MetarunError for one of another length."""
        wanted = len(self.names)
        for number, fields in self.lines():
            if number <= self.skipped:
                continue
            if len(fields) != wanted and (len(fields) < wanted or any(field.strip() for field in fields[wanted:])):
                shown = self.separator.join(fields)[:80]
                raise MetarunError(
                    f"{self.path} line {number}: '{shown}' has {len(fields)} fields {self.how}, but the "
                    f"{'header' if self.skipped else 'first line'} has {wanted} "
                    f"({', '.join(self.names)[:80]}); a field that contains the separator is put in double quotes"
                )
            yield number, fields

    def chunks(self, kinds: dict[str, str]) -> Iterator[dict[str, Any]]:
        """Yield column -> Series, at most CHUNK rows each."""
        import pandas as pd

        # Ids as "str": as "category" pandas reads 0012 and 12.0 as one number.
        types = {tabular.ID: "str", tabular.NUMBER: "float64", tabular.WORDS: "str"}
        position = {name: self.names.index(name) for name in kinds}
        last = len(self.names) - 1
        # All columns are read: where pandas may leave some out, it says nothing of rows that are too long.
        dtype = dict.fromkeys(range(last + 2), "str") | {position[name]: types[kind] for name, kind in kinds.items()}
        judged = False
        try:
            with self._open() as file:
                frames = pd.read_csv(
                    file, sep=self.separator, header=None, skiprows=self.skipped, index_col=False,
                    names=list(range(last + 2)), dtype=dtype, chunksize=tabular.CHUNK,
                    encoding="utf-8" if self.encoding == "utf-8-sig" else self.encoding,
                    skipinitialspace=True, keep_default_na=False, na_values=[""], low_memory=False,
                )  # fmt: skip
                for frame in frames:
                    # pandas fills a row that is too short and drops what a row has too much: both are seen here.
                    if not judged and (frame[last].isna().any() or frame[last + 1].notna().any()):
                        self._judge()
                        judged = True
                    yield {name: frame[place] for name, place in position.items()}
        except (UnicodeDecodeError, UnicodeError):
            raise self._wrong_encoding() from None
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise MetarunError(f"{self.path}: is no whole gzip file ({error})") from None
        except pd.errors.EmptyDataError:
            raise MetarunError(f"{self.path}: has a header, but no rows") from None
        except (ValueError, OverflowError) as error:  # ParserError is a ValueError
            self._explain(kinds, str(error))

    def _judge(self) -> None:
        for _ in self.rows():
            pass

    def _explain(self, kinds: dict[str, str], complaint: str) -> None:
        """Raise the error that names the line which pandas could not read."""
        quote = re.search(r"EOF inside string starting at row (\d+)", complaint)
        if quote:
            line = int(quote[1]) + 1
            raise MetarunError(f"{self.path} line {line}: a double quote is opened here and never closed")
        for name, kind in kinds.items():
            found = self.first(name, tabular.number_problem) if kind == tabular.NUMBER else None
            if found and "is empty" not in found[1]:
                raise MetarunError(f"{self.path} {found[0]}: column '{name}': {found[1]}")
        self._judge()
        raise MetarunError(f"{self.path}: cannot be read ({complaint.splitlines()[0]})")

    def place(self, row: int) -> str:
        """Return the line of a row."""
        for number, (line, _) in enumerate(self.rows()):
            if number == row:
                return f"line {line}"
        return f"row {row + 1}"

    def first(self, column: str, wrong: Callable[[str], str | None]) -> tuple[str, str] | None:
        """Return the line and the reason of the first wrong field of a column."""
        place = self.names.index(column)
        for line, fields in self.rows():
            reason = wrong(fields[place].strip())
            if reason:
                return f"line {line}", reason
        return None

    def numeric(self, column: str) -> bool:
        """Return whether the first field of a column that is not empty is a number."""
        place = self.names.index(column)
        for _, fields in self.rows():
            if fields[place].strip():
                return tabular.number_problem(fields[place]) is None
        return True

    def _wrong_encoding(self) -> MetarunError:
        with self._open() as file:
            decoder = codecs.getincrementaldecoder(self.encoding)()
            for number, line in enumerate(file, start=1):
                try:
                    decoder.decode(line)
                except UnicodeError as error:
                    byte = f"byte 0x{error.object[error.start]:02x}" if isinstance(error, UnicodeDecodeError) else "it"
                    return MetarunError(
                        f"{self.path} line {number}: {byte} is not {self.encoding.removesuffix('-sig')} text; "
                        + self._remedy(" to the file's, such as latin-1 or cp1252")
                    )
        return MetarunError(
            f"{self.path}: ends within a character of {self.encoding}; " + self._remedy(" to the file's")
        )

    def _remedy(self, value: str) -> str:
        """Return how to have another encoding read: by an option, or where there is none by saving the file anew."""
        return f"set {self.section}.encoding{value}" if self.section else "save the file as UTF-8"


def sniff(head: str, path: Path) -> str:
    """Return the separator that cuts the first lines most evenly. Raises MetarunError where none does."""
    lines = [line for line in head.splitlines() if line.strip()][:LINES]
    if "::" in lines[0] and not any(mark in lines[0] for mark in SEPARATORS.values()):
        raise MetarunError(f"{path} line 1: is separated by '::'; MovieLens' own files are read by dataset=movielens")
    scores = {}
    for mark in SEPARATORS.values():
        counts = [len(fields) for fields in csv.reader(lines, delimiter=mark) if fields]
        scores[mark] = (sum(count == counts[0] for count in counts) / len(counts), counts[0])
    usable = {mark: score for mark, score in scores.items() if score[1] > 1}
    if not usable:
        raise MetarunError(
            f"{path} line 1: '{lines[0][:80]}' is not cut into columns by a comma, tab, semicolon or pipe"
        )
    return max(usable, key=lambda mark: usable[mark])


def _alternating(raw: bytes) -> bool:
    """Return whether every second byte is zero, as in UTF-16 of plain English."""
    start = raw[:200]
    return len(start) >= 4 and (not any(start[::2]) or not any(start[1::2]))
