"""Read a file of the user's own interactions: explicit ratings, or implicit feedback with weights of events."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metarun.data import column_names, ids, tabular
from metarun.data.moments import Times
from metarun.data.own import Description
from metarun.data.tabular import Table, open_table
from metarun.errors import MetarunError, did_you_mean

SECTION = "dataset"
STEPS = 100  # more distinct ratings than this count as continuous


@dataclass
class Interactions:
    """The rows of a file in its order, before users and items are put in order."""

    path: Path
    explicit: bool
    user: NDArray[np.int64]  # (rows,) number of its text
    item: NDArray[np.int64]
    users: NDArray[np.object_]  # distinct ids as written, without spaces around them
    items: NDArray[np.object_]
    value: NDArray[np.float64]  # (rows,) rating, or weight of the event
    time: NDArray[np.int64]  # (rows,) seconds; 0 = unknown
    notes: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)  # event type -> rows


def read_interactions(given: Description, section: str = SECTION) -> Interactions:
    """Read the file that a description names; `section` is what its options are called by in errors.

    Raises:
        MetarunError: whatever is wrong in the file, with line, column and value; several meanings of a column.
    """
    option = f"{section}.path" if section else "path"
    table = open_table(given.file, option, given.separator, given.encoding, given.columns)
    wanted = {role: getattr(given, role) for role in ("user", "item", "rating", "time", "event")}
    chosen, notes = column_names.choose(table.names, wanted, section, table.path, ("user", "item"))
    _one_meaning(table, chosen, given, section)
    user, item = ids.Column(table, str(chosen["user"])), ids.Column(table, str(chosen["item"]))
    times = Times(table, chosen["time"]) if chosen["time"] else None
    values = _Values(table, chosen["rating"])
    events = _Events(table, chosen["event"], given, section)
    kinds = {user.name: tabular.ID, item.name: tabular.ID}
    kinds |= {values.column: tabular.NUMBER} if values.column else {}
    kinds |= {times.column: times.kind} if times else {}
    kinds |= {events.column: tabular.ID} if events.column else {}
    rows = 0
    for chunk in table.chunks(kinds):
        for part in (user, item, values, times, events):
            name = getattr(part, "name", None) or getattr(part, "column", None)
            if part is not None and name:
                part.add(chunk[name])
        rows += len(chunk[user.name])
    if not rows:
        raise MetarunError(f"{table.path}: has a header, but no rows")
    (users, user_texts), (items, item_texts) = user.finish(), item.finish()
    seconds, said = times.finish() if times else (np.zeros(rows, np.int64), [])
    notes += said
    explicit, value = values.column is not None, values.finish(rows)
    found = Interactions(table.path, explicit, users, items, user_texts, item_texts, value, seconds, notes)
    unknown = int((seconds == 0).sum())
    if times and unknown:
        notes.append(f"{unknown:,} of {rows:,} rows have no time")
    if events.column:
        events.weigh(found)
    elif not found.explicit:
        notes.append("no rating and no event column: implicit feedback, every row an interaction of weight 1")
    _check_scale(found, given, table, values.column, section)
    return found


def _one_meaning(table: Table, chosen: dict[str, str | None], given: Description, section: str) -> None:
    if chosen["rating"] and chosen["event"]:
        raise MetarunError(
            f"{table.path} line 1: has a rating column '{chosen['rating']}' and an event column '{chosen['event']}'; "
            f"use one: {section}.event=null for the ratings, {section}.rating=null for the events"
        )
    if given.events is not None and not chosen["event"]:
        raise MetarunError(
            f"{section}.events={dict(given.events)}: weighs types of events, but no column has them; name it, "
            f"{section}.event=COLUMN; the columns are {column_names.listed(table.names)}"
        )


class _Values:
    """The rating column; without one every row has the value 1."""

    def __init__(self, table: Table, column: str | None) -> None:
        self.table, self.column = table, column
        self.parts: list[NDArray[np.float64]] = []

    def add(self, series: Any) -> None:
        values = series.to_numpy()
        if not np.isfinite(values).all():
            place, reason = self.table.first(str(self.column), tabular.number_problem) or ("", "is not a number")
            raise MetarunError(f"{self.table.path} {place}: column '{self.column}': the rating {reason}")
        self.parts.append(values)

    def finish(self, rows: int) -> NDArray[np.float64]:
        return np.concatenate(self.parts) if self.column else np.ones(rows)


class _Events:
    """The event column and what each type weighs."""

    def __init__(self, table: Table, column: str | None, given: Description, section: str) -> None:
        self.table, self.column, self.section = table, column, section
        self.weights = None if given.events is None else {str(key): value for key, value in given.events.items()}
        self.ids = ids.Column(table, str(column))
        for key, weight in (self.weights or {}).items():
            number = not isinstance(weight, bool) and isinstance(weight, int | float)
            if not number or not 0 <= weight < float("inf"):
                raise MetarunError(
                    f"{section}.events.{key}={weight}: a weight is a number, 0 (leaves the type out) or more"
                )

    def add(self, series: Any) -> None:
        self.ids.add(series)

    def weigh(self, found: Interactions) -> None:
        """Put the weights of the events into the values, and take out the rows whose type weighs 0."""
        number, types = self.ids.finish()
        counts = np.bincount(number, minlength=len(types))
        found.counts = {types[place]: int(counts[place]) for place in np.argsort(-counts, kind="stable")}
        listed = ", ".join(f"{name} ({count:,})" for name, count in list(found.counts.items())[:8])
        if self.weights is None:
            usual = ", ".join(f"{name}: 1" for name in list(found.counts)[:8])
            raise MetarunError(
                f"{found.path} line 1: column '{self.column}' has the events {listed}; weigh them, "
                f"'{self.section}.events={{{usual}}}' with weights as you see fit, such as buy above "
                f"view, or {self.section}.event=null to count every row alike"
            )
        for place, name in enumerate(types):
            if name not in self.weights:
                where = self.table.place(int((number == place).argmax()))
                raise MetarunError(
                    f"{found.path} {where}: column '{self.column}': the event '{name[:40]}' has no weight; give "
                    f"{self.section}.events one (0 leaves it out).{did_you_mean(name, self.weights)}"
                )
        absent = [name for name in self.weights if name not in found.counts]
        if absent:
            found.notes.append(f"no row has the event {column_names.listed(absent)}")
        weights = np.array([float(self.weights[name]) for name in types])
        found.value = weights[number]
        kept = found.value > 0
        shown = ", ".join(f"{name} = {self.weights[name]:g}" for name in found.counts)
        found.notes.append(f"implicit feedback, weights {shown}")
        if not kept.all():
            found.notes.append(f"{int((~kept).sum()):,} rows of weight 0 are left out")
            found.user, found.item = found.user[kept], found.item[kept]
            found.value, found.time = found.value[kept], found.time[kept]
        if not kept.any():
            raise MetarunError(f"{self.section}.events={self.weights}: leaves no row of {found.path}")


def _check_scale(found: Interactions, given: Description, table: Table, column: str | None, section: str) -> None:
    if given.scale is not None and not found.explicit:
        raise MetarunError(f"{section}.scale={given.scale}: {found.path} has no ratings, but implicit feedback")
    if not found.explicit:
        return
    low, high = float(found.value.min()), float(found.value.max())
    if low == high:
        raise MetarunError(
            f"{found.path}: column '{column}': every rating is {low:g}, so there is nothing to predict; for implicit "
            f"feedback set {section}.rating=null"
        )
    if given.scale is None:
        return
    if len(given.scale) != 3 or not (given.scale[0] < given.scale[1] and given.scale[2] > 0):
        raise MetarunError(f"{section}.scale={given.scale}: give [lowest,highest,step], such as [1,5,1]")
    lowest, highest, step = given.scale
    steps = (found.value - lowest) / step
    wrong = (found.value < lowest) | (found.value > highest) | (abs(steps - np.round(steps)) > 1e-6)
    if wrong.any():
        row = int(wrong.argmax())
        raise MetarunError(
            f"{found.path} {table.place(row)}: column '{column}': the rating {found.value[row]:g} lies outside "
            f"{section}.scale={given.scale}: {lowest:g} to {highest:g} in steps of {step:g}"
        )


def inferred_scale(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return lowest, highest and the smallest step between ratings that occur."""
    distinct = np.unique(values)
    steps = np.diff(distinct)
    return float(distinct[0]), float(distinct[-1]), float(np.round(steps.min(), 6)) if len(distinct) <= STEPS else 0.0
