"""Ids of users and items: read as text, whole numbers where all are, never merged and never guessed at."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metarun.data.tabular import Table, coded
from metarun.errors import MetarunError

LONGEST = 256  # characters
MISSING = {"", "nan", "null", "none", "na", "n/a", "<na>", "nat"}
NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?")
WHOLE = re.compile(r"0|-?[1-9][0-9]{0,17}")


@dataclass
class Column:
    """An id column while it is read: codes into its distinct texts, gathered chunk by chunk."""

    table: Table
    name: str
    codes: list[NDArray[np.int64]] = field(default_factory=list)
    texts: list[NDArray[np.object_]] = field(default_factory=list)

    def add(self, series: Any) -> None:
        """Take in the next chunk."""
        codes, texts = coded(series)
        self.codes.append(codes)
        self.texts.append(texts)

    def finish(self) -> tuple[NDArray[np.int64], NDArray[np.object_]]:
        """Return (number of its text (rows,), distinct texts), spaces around them dropped.

        Raises:
            MetarunError: an id that is empty, "nan" or the like, or no id at all; with the line.
        """
        import pandas as pd

        starts = np.cumsum([0, *(len(part) for part in self.texts)])
        written = np.concatenate(self.texts)
        number, distinct = pd.factorize(pd.Series(written, dtype=object).str.strip())
        rows = np.concatenate(
            [np.where(codes >= 0, codes + start, -1) for codes, start in zip(self.codes, starts, strict=False)]
        )
        self.codes, self.texts = [], []
        number = np.append(number, -1)[rows]  # the code -1, an empty field, reads the -1 at the end
        texts = np.asarray(distinct, dtype=object)
        self._refuse(number, texts)
        return number, texts

    def _refuse(self, number: NDArray[np.int64], distinct: NDArray[np.object_]) -> None:
        wrong = {place: reason for place, text in enumerate(distinct) if (reason := _problem(text))}
        if (number < 0).any():
            wrong[-1] = "the id is empty"
        if wrong:
            row = int(np.isin(number, list(wrong)).argmax())
            raise MetarunError(
                f"{self.table.path} {self.table.place(row)}: column '{self.name}': {wrong[int(number[row])]}"
            )


def _problem(text: str) -> str | None:
    if text.casefold() in MISSING:
        return (
            f"the id '{text}' reads like a missing value; leave the row out or write another id"
            if text
            else "the id is empty"
        )
    if len(text) > LONGEST:
        return f"the id '{text[:40]}...' has {len(text)} characters, more than {LONGEST}"
    if not text.isprintable():
        return f"the id {text!r} holds a character that cannot be printed"
    return None


def ascending(texts: NDArray[np.object_], who: str, where: str) -> tuple[NDArray[Any], NDArray[np.int64], list[str]]:
    """Return (ids ascending, place of each text among them, notes): int64 if all are whole numbers, else the texts.

    "0012", "12.0" and "+12" are no whole numbers as a computer writes them, so they stay text and apart from "12".
    """
    odd = next((text for text in texts if WHOLE.fullmatch(text) is None), None)
    notes = []
    if odd is None:
        ids: NDArray[Any] = np.array([int(text) for text in texts], dtype=np.int64)
    else:
        ids = np.array(texts, dtype=np.str_)
        whole = sum(WHOLE.fullmatch(text) is not None for text in texts)
        if whole or _number(odd) is not None:
            mixed = (
                f"{whole:,} of {len(texts):,} are whole numbers, but not"
                if whole
                else "none is a whole number like 12, see"
            )
            notes.append(f"ids of {who} in {where} are kept as text exactly as written: {mixed} '{odd}'")
        alike = twin(texts)
        if alike:
            notes.append(f"'{alike[0]}' and '{alike[1]}' in {where} are taken for different {who}")
    order = np.argsort(ids, kind="stable")
    place = np.empty(len(ids), np.int64)
    place[order] = np.arange(len(ids))
    return ids[order], place, notes


def _number(text: str) -> float | None:
    """Return a text of digits as a number; None for others, "1e3" and "nan" among them."""
    return float(text) if NUMBER.fullmatch(text) else None


def twin(texts: NDArray[np.object_], among: NDArray[np.object_] | None = None) -> tuple[str, str] | None:
    """Return the first text that is the same number as another one written differently, and that one ("12", "012").

    The other is one of `among`, or an earlier one of `texts`.
    """
    seen = {} if among is None else {value: str(t) for t in among if (value := _number(t)) is not None}
    for text in texts:
        value = _number(text)
        if value is None or abs(value) >= 2**53:
            continue
        if value in seen:
            return str(text), seen[value]
        if among is None:
            seen[value] = str(text)
    return None
