"""What a person rated, as Python users and files give it, checked against the catalogue and the scale."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metarun.answers.catalogue import Catalogue, number_of
from metarun.answers.sheets import Table, named
from metarun.errors import MetarunError

Place = Callable[[int, str], str]


class Support(NamedTuple):
    """Rated items of a person: all of them are seen; those that count are learned from."""

    seen: list[int]
    item: Tensor  # (S,)
    y: Tensor  # (S,)
    rating: NDArray[np.float32]  # (S,) as given


class Meaning(NamedTuple):
    """What a rating is in a run."""

    scale: tuple[float, float, float]
    ranks: bool  # rows are interactions
    positive: float | None  # the rating from which one is an interaction; None: every row is

    @property
    def given(self) -> float:
        """The value of a row without a rating, which only a ranking knows."""
        return 1.0 if self.positive is None else self.positive

    def check(self, values: NDArray[Any], place: Callable[[int], str]) -> None:
        """Raise MetarunError for a rating that is not one of this run's."""
        low, high, _ = self.scale
        weighs = self.ranks and self.positive is None  # a row is an interaction, its value the weight
        bad = ~np.isfinite(values) | (weighs & (values <= 0)) if self.ranks else ~((values >= low) & (values <= high))
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            allowed = f"between {low:g} and {high:g}, the scale of this run"
            if self.ranks:
                allowed = "a number above 0, the weight of an interaction" if weighs else "a number"
            raise MetarunError(f"{place(row)}: {values[row]:g} is not {allowed}")

    def of_table(self, table: Table) -> NDArray[np.float64]:
        """Return the ratings of a file, checked; `given` for a ranking whose file has none. Raises MetarunError."""
        if "rating" not in table.columns:
            if not self.ranks:
                raise MetarunError(f"{table.path}, line 1: no column 'rating', and this run learned from ratings")
            return np.full(len(table), self.given)
        values = table.numbers("rating")
        self.check(values, lambda row: table.at(row, "rating"))
        return values

    def note(self, below: int) -> str | None:
        """Return what becomes of so many ratings below `positive`; None where there are none."""
        if not below:
            return None
        what = (
            "is no interaction: it counts as seen only"
            if below == 1
            else "are no interactions: they count as seen only"
        )
        return f"{number_of(below, 'rating', 'ratings')} below {self.positive:g} {what}"

    def support(self, seen: list[int], values: NDArray[np.float32]) -> Support:
        """Return the support of a person."""
        item = torch.tensor(seen, dtype=torch.int64)
        if not self.ranks or self.positive is None:
            return Support(seen, item, torch.from_numpy(values), values)
        counts = values >= self.positive
        kept = values[counts]
        return Support(seen, item[torch.from_numpy(counts)], torch.ones(len(kept)), kept)


def of_pairs(given: Any, catalogue: Catalogue, meaning: Meaning) -> Support:
    """Return the support in a DataFrame (item, rating), a dict {item: rating}, pairs, or items alone for a ranking.

    Raises:
        MetarunError: an item is not there, or twice; a rating is missing or off the scale; it names the row.
    """
    items, ratings = unpacked(given)
    if ratings is None and not meaning.ranks:
        raise MetarunError("support: this run learned from ratings, so give (item, rating), not the items alone")
    return checked(items, ratings, catalogue, meaning, lambda row, name: f"support, row {row + 1}, {name}")


def of_table(table: Table, catalogue: Catalogue, meaning: Meaning) -> Support:
    """Return the support in a file of one person; raises MetarunError that names the file, the line and the column."""
    items, ratings = table.cells("item"), meaning.of_table(table)
    times = table.times()
    # Rules that learn row by row see them as they came.
    order = np.argsort(times, kind="stable").tolist() if times.all() else None
    return checked(items, ratings, catalogue, meaning, lambda row, name: table.at(row, name), order)


def checked(
    items: list[Any],
    ratings: Any,
    catalogue: Catalogue,
    meaning: Meaning,
    place: Place,
    order: list[int] | None = None,
) -> Support:
    """Return the support of items by id or title, learned in the order of the rows, or in that of `order`."""
    merges = meaning.ranks and meaning.positive is None  # a row is an interaction, and of a pair the last one stands
    seen: dict[int, int] = {}
    numbers = []
    for row, item in enumerate(items):
        try:
            number = catalogue.find(item)
        except MetarunError as error:
            raise MetarunError(f"{place(row, 'item')}: {error}") from None
        if number in seen and not merges:
            raise MetarunError(
                f"{place(row, 'item')}: '{item}' is rated twice, first in {place(seen[number], 'item')}: keep one"
            )
        seen[number] = row
        numbers.append(number)
    try:
        values = np.full(len(items), meaning.given) if ratings is None else np.array(ratings, dtype=np.float64)
    except (TypeError, ValueError):
        raise MetarunError(f"{place(0, 'rating')}: ratings must be numbers, not {ratings!r}") from None
    meaning.check(values, lambda row: place(row, "rating"))
    last: dict[int, int] = {}
    for row in range(len(items)) if order is None else order:
        last.pop(numbers[row], None)  # it stands where it came last
        last[numbers[row]] = row
    return meaning.support(list(last), values[list(last.values())].astype(np.float32))


def unpacked(given: Any) -> tuple[list[Any], list[Any] | None]:
    """Return (items, ratings or None) of whatever was given."""
    if hasattr(given, "columns") and hasattr(given, "__getitem__"):
        names = [str(name) for name in given.columns]
        from pathlib import Path

        found = named(Path("support"), names, ["item"], ["rating"])
        columns = {name: given[given.columns[place]].tolist() for name, place in found.items()}
        return columns["item"], columns.get("rating")
    if isinstance(given, Mapping):
        return list(given), list(given.values())
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise MetarunError(
            f"support: give a DataFrame, a dict {{item: rating}} or a list of (item, rating), not {given!r}"
        )
    rows = list(given)
    pairs = [isinstance(row, tuple | list) for row in rows]
    if any(pairs) and not all(pair and len(row) == 2 for pair, row in zip(pairs, rows, strict=True)):
        raise MetarunError("support: every row must be a pair (item, rating)")
    return ([row[0] for row in rows], [row[1] for row in rows]) if any(pairs) else (rows, [] if not rows else None)
