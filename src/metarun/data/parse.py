"""Read a ratings file: fast by columns; on any doubt once more line by line, to name the line that is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from metarun.data.archive import Source
from metarun.data.versions import Version
from metarun.errors import MetarunError

CHUNK = 1_000_000  # rows parsed at once: 8 columns of 8 bytes, about 64 MB
LARGEST_ID = 2**31 - 1  # ids are kept as int32 while reading
LATEST_TIME = 2**40  # seconds; beyond any calendar, but exact as a float64


class _Doubt(Exception):
    """The fast path met something that only the slow path can judge."""


def chunks(source: Source, version: Version) -> Iterator[dict[str, NDArray[Any]]]:
    """Yield the file's rows in order, at most CHUNK at a time.

    Each chunk holds `user` (int32 id), `item` (int32 id), `value` (float32) and `time` (int64; 0 where empty).

    Raises:
        MetarunError: a malformed row, or a rating outside the scale; with file name and line number.
    """
    where = source.where(version.layout.ratings)
    judged = False
    with source.open(version.layout.ratings) as file:
        _skip_header(file, version, where)
        for frame in _frames(file, version, source):
            try:
                yield _columns(frame, version.scale)
            except _Doubt:
                if not judged:  # raises for the first bad line of the file; a file with empty times only is fine
                    check_lines(source, version)
                    judged = True
                yield _columns(frame, version.scale, allow_unknown=True)


def _frames(file: IO[bytes], version: Version, source: Source) -> Iterator[Any]:
    import pandas as pd  # half a second, and not needed when the columns are cached

    gaps = [f"gap{i}" for i in range(3)] if version.layout.separator == "::" else ["", "", ""]
    names = [
        name for pair in zip(["user", "item", "value", "time"], [*gaps, "more"], strict=True) for name in pair if name
    ]
    types = dict.fromkeys(names, "float64") | {"user": "int64", "item": "int64"}
    try:
        # "::" is read as ":" with an empty field between: the C parser knows only single characters.
        # The column "more" must stay empty; without it pandas drops surplus fields silently.
        yield from pd.read_csv(
            file,
            sep=version.layout.separator[0],
            names=names,
            header=None,
            index_col=False,
            dtype=types,
            quoting=3,
            na_values=[""],
            keep_default_na=False,
            encoding="latin-1",
            chunksize=CHUNK,
        )
    except (ValueError, OverflowError) as error:  # ParserError and EmptyDataError are ValueErrors
        check_lines(source, version)
        where = source.where(version.layout.ratings)
        if isinstance(error, pd.errors.EmptyDataError):
            raise MetarunError(f"{where} holds no ratings.") from error
        raise MetarunError(f"{where} cannot be read: {error}.") from error


def _columns(frame: Any, scale: tuple[float, float, float], allow_unknown: bool = False) -> dict[str, NDArray[Any]]:
    for name in frame.columns:
        if (name.startswith("gap") or name == "more") and frame[name].notna().any():
            raise _Doubt
    user, item = frame["user"].to_numpy(), frame["item"].to_numpy()
    value, time = frame["value"].to_numpy(), frame["time"].to_numpy()
    unknown = np.isnan(time)
    if unknown.any():
        if not allow_unknown:
            raise _Doubt
        time = np.where(unknown, 0.0, time)
    low, high, step = scale
    steps = (value - low) / step
    good = (
        (np.minimum(user, item) >= 0)
        & (np.maximum(user, item) <= LARGEST_ID)
        & ((value >= low) & (value <= high) & (steps == np.round(steps)))
        & ((time >= 0) & (time <= LATEST_TIME) & (time == np.floor(time)))
    )
    if not good.all():
        raise _Doubt
    return {
        "user": user.astype(np.int32),
        "item": item.astype(np.int32),
        "value": value.astype(np.float32),
        "time": time.astype(np.int64),
    }


def _skip_header(file: IO[bytes], version: Version, where: str) -> None:
    expected = version.layout.header
    if expected is None:
        return
    header = file.readline().removeprefix(b"\xef\xbb\xbf").decode("latin-1").strip()
    if header != expected:
        raise MetarunError(f"{where} line 1: the header is '{header[:80]}', but must be '{expected}'.")


def check_lines(source: Source, version: Version) -> None:
    """Read the ratings file line by line and raise for the first line that is wrong."""
    where, usual = source.where(version.layout.ratings), _usual(version)
    for number, line in _lines(source, version):
        problem = None if usual.fullmatch(line) else _problem(line, version)
        if problem:
            raise MetarunError(f"{where} line {number}: {problem}")


def _lines(source: Source, version: Version) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, text) of every line with a rating; empty lines and the header are passed over."""
    with source.open(version.layout.ratings) as file:
        for number, raw in enumerate(file, start=1):
            line = raw.decode("latin-1").rstrip("\r\n")
            if line.strip() and not (number == 1 and version.layout.header):
                yield number, line


def _usual(version: Version) -> re.Pattern[str]:
    """Return what nearly all good lines match, so that twenty million of them are passed in seconds."""
    low, high, step = version.scale
    values = np.arange(low, high + step, step)
    texts = "|".join(re.escape(text) for value in values for text in {f"{value:g}", f"{value:.1f}"})
    return re.compile(version.layout.separator.join(["[0-9]{1,9}", "[0-9]{1,9}", f"(?:{texts})", "[0-9]{1,12}"]))


def _problem(line: str, version: Version) -> str | None:
    shown, separator = f"'{line[:80]}'", version.layout.separator
    shape = separator.join(["user", "item", "rating", "time"]).replace("\t", "<tab>")
    fields = [field.strip() for field in line.split(separator)]
    if len(fields) != 4 or any(re.search(r"[:,;\t]", field) for field in fields):
        return f"{shown} is malformed, it must read {shape}."
    user, item, value, time = fields
    for kind, text in (("user", user), ("item", item)):
        if re.fullmatch(r"[0-9]{1,18}", text) is None or int(text) > LARGEST_ID:
            return f"{shown} is malformed, the {kind} id '{text}' is not a whole number from 0 to {LARGEST_ID}."
    if re.fullmatch(r"[0-9]*\.?[0-9]+|[0-9]+\.", value) is None:
        low, high, step = version.scale
        if re.fullmatch(r"-[0-9.]+", value) is None:
            return f"{shown} is malformed, the rating '{value}' is not a number."
        return f"the rating {value} lies outside the scale of {version.name}: {low:g} to {high:g} in steps of {step:g}."
    low, high, step = version.scale
    number = float(value)
    if not low <= number <= high or ((number - low) / step) % 1:
        return f"the rating {value} lies outside the scale of {version.name}: {low:g} to {high:g} in steps of {step:g}."
    if time and (re.fullmatch(r"[0-9]{1,18}(\.0*)?", time) is None or float(time) > LATEST_TIME):
        return f"{shown} is malformed, the time '{time}' is not a whole number of seconds since 1970."
    return None


def line_numbers(source: Source, version: Version, rows: list[int]) -> list[int]:
    """Return the line numbers (from 1) of rows (from 0) of the ratings file."""
    wanted, found = set(rows), {}
    for row, (number, _) in enumerate(_lines(source, version)):
        if row in wanted:
            found[row] = number
    return [found[row] for row in rows]
