"""Times of the user's own files: seconds, milliseconds, or ISO dates."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metarun.data import tabular
from metarun.data.tabular import Table
from metarun.errors import MetarunError

UNITS = ((1e11, "seconds", 1.0), (1e14, "milliseconds", 1e3), (1e17, "microseconds", 1e6), (1e20, "nanoseconds", 1e9))
"""Up to which number a time counts as which unit: 1e11 seconds are the year 5138, 1e11 milliseconds 1973."""
ISO = "an ISO date such as 2015-03-14 or 2015-03-14T15:09:26Z"


class Times:
    """A column of times while it is read; an empty field is an unknown time, 0."""

    def __init__(self, table: Table, column: str) -> None:
        self.table, self.column = table, column
        self.numeric = table.numeric(column)
        self.kind = tabular.NUMBER if self.numeric else tabular.WORDS
        self.parts: list[NDArray[np.float64]] = []

    def add(self, series: Any) -> None:
        """Take in the next chunk."""
        if self.numeric:
            self.parts.append(series.to_numpy())
            return
        import pandas as pd

        moments = pd.to_datetime(series, format="ISO8601", errors="coerce", utc=True)
        if (moments.isna() & series.notna()).any():
            self._refuse(_iso_problem)
        seconds = moments.dt.tz_localize(None).astype("datetime64[ns]").astype("int64").to_numpy() / 1e9
        self.parts.append(np.where(moments.isna().to_numpy(), np.nan, seconds))

    def _refuse(self, wrong: Any) -> None:
        found = self.table.first(self.column, wrong)
        place, reason = found or ("", "holds a time that cannot be read")
        raise MetarunError(f"{self.table.path} {place}: column '{self.column}': {reason}")

    def finish(self) -> tuple[NDArray[np.int64], list[str]]:
        """Return (seconds since 1970 (rows,), notes). Raises MetarunError for one before 1970, with the line."""
        given = np.concatenate(self.parts)
        self.parts = []
        known = ~np.isnan(given)
        if (given[known] < 0).any() or np.isinf(given[known]).any():
            self._refuse(_early)
        largest = float(given[known].max(initial=0.0))
        notes = []
        if self.numeric and known.any() and _calendar(given[known]):
            import pandas as pd

            days = pd.to_datetime(given[known].astype(np.int64).astype(str), format="%Y%m%d", errors="coerce")
            if not days.isna().any():
                given[known] = days.to_numpy().astype("datetime64[s]").astype(np.int64)
                return self._whole(given, known), [f"column '{self.column}': dates as YYYYMMDD"]
        if self.numeric:
            found = next(((name, factor) for top, name, factor in UNITS if largest < top), None)
            if found is None:
                self._refuse(lambda text: f"'{text[:80]}' is no time" if float(text or 0) >= UNITS[-1][0] else None)
            else:
                notes.append(f"column '{self.column}': {found[0]} since 1970")
                given = given / found[1]
        else:
            notes.append(f"column '{self.column}': ISO dates, UTC where they name no zone")
        return self._whole(given, known), notes

    def _whole(self, given: NDArray[np.float64], known: NDArray[np.bool_]) -> NDArray[np.int64]:
        return np.where(known, np.floor(np.where(known, given, 0)), 0).astype(np.int64)


def _calendar(values: NDArray[np.float64]) -> bool:
    """Return whether all numbers could be dates written as YYYYMMDD."""
    if values.min() < 19_700_101 or values.max() >= 21_010_101:
        return False
    month, day = values // 100 % 100, values % 100
    return bool(((month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)).all())


def _iso_problem(text: str) -> str | None:
    import pandas as pd

    if not text or not pd.isna(pd.to_datetime(text, format="ISO8601", errors="coerce", utc=True)):
        return None
    zero = " (a year, month or day that does not exist)" if re.match(r"\d{4}-\d\d-\d\d", text) else ""
    return f"'{text[:80]}' is neither a number of seconds since 1970 nor {ISO}{zero}"


def _early(text: str) -> str | None:
    try:
        value = float(text or 0)
    except ValueError:
        import pandas as pd

        value = pd.to_datetime(text, format="ISO8601", utc=True).timestamp()
    return None if 0 <= value < float("inf") else f"the time '{text[:80]}' is not one since 1970"
