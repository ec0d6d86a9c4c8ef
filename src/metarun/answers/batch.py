"""Many people at once: padded batches of alike numbers of ratings, and their recommendations as columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metarun.answers.api import Answers
from metarun.answers.catalogue import text
from metarun.answers.engine import Engine
from metarun.answers.sheets import Table
from metarun.answers.support import Meaning
from metarun.errors import MetarunError

Ints = NDArray[np.int64]


class Histories(NamedTuple):
    """Rows of many people in the order in which they are learned; an item of -1 is not in the catalogue."""

    names: list[str]  # (N,) people
    user: Ints  # (rows,)
    item: Ints  # (rows,)
    value: NDArray[np.float32]  # (rows,)

    @property
    def unknown(self) -> int:
        """How many rows have an item that the run does not know."""
        return int((self.item < 0).sum())

    def below(self, meaning: Meaning) -> int:
        """Return how many rows with a known item are rated below what the run takes for an interaction."""
        if not meaning.ranks or meaning.positive is None:
            return 0
        return int(((self.value < meaning.positive) & (self.item >= 0)).sum())


def histories(table: Table, answers: Answers) -> Histories:
    """Return the rows of a file with user, item and maybe rating and timestamp; of a pair the last row stands.

    Raises:
        MetarunError: an empty cell, a rating that is no number or off the scale; it names the line and the column.
    """
    user_text = texts(table, "user")
    item_text = texts(table, "item")
    values = answers.meaning.of_table(table).astype(np.float32)
    place = answers.catalogue.place
    looked_up = {one: place.get(one, -1) for one in set(item_text)}
    for one, number in looked_up.items():
        if number < 0:
            looked_up[one] = titled(answers, one)
    item = np.array([looked_up[one] for one in item_text], dtype=np.int64)
    names = list(dict.fromkeys(user_text))
    numbers = {name: number for number, name in enumerate(names)}
    user = np.array([numbers[name] for name in user_text], dtype=np.int64)
    times = table.times()
    order = np.argsort(times, kind="stable") if times.all() else np.arange(len(user))
    pair = user[order] * (len(answers.catalogue) + 1) + item[order]
    _, last = np.unique(pair[::-1], return_index=True)
    again = np.ones(len(order), bool)
    again[len(order) - 1 - last] = False
    kept = order[~again | (item[order] < 0)]
    return Histories(names, user[kept], item[kept], values[kept])


def texts(table: Table, column: str) -> list[str]:
    """Return a column of ids as text."""
    cells = table.cells(column)
    written = {cell: text(cell) for cell in set(cells)}
    return [written[cell] for cell in cells]


def titled(answers: Answers, title: str) -> int:
    """Return the number of the only item with a title, else -1."""
    try:
        return answers.catalogue.find(title)
    except MetarunError:
        return -1


def padded(engine: Engine, user: Ints, item: Ints, y: NDArray[np.float32], people: int) -> Iterator[tuple[Ints, Any]]:
    """Yield (people (T,), (items, labels, known), each (T, S)): people with alike numbers of rows and the same values.

    user (rows,) are numbers below `people`; a person without a row comes with an empty support.
    """
    order = np.argsort(user, kind="stable")
    count = np.bincount(user, minlength=people)
    start = np.cumsum(count) - count
    by_size = np.argsort(count, kind="stable")
    first = 0
    while first < people:
        values = engine.values(int(count[by_size[first]]))
        last = first + 1
        while last < people:
            rows = int(count[by_size[last]])
            if last - first >= engine.at_once(rows) or engine.values(rows) != values:
                break
            last += 1
        batch = by_size[first:last]
        width = int(count[batch].max())
        place = np.arange(width)
        known = place < count[batch][:, None]
        row = order[np.where(known, start[batch][:, None] + place, 0)] if len(order) else np.zeros((len(batch), 0), int)
        parts = (np.where(known, item[row], 0), np.where(known, y[row], 0), known.astype(np.float32))
        yield batch, tuple(torch.from_numpy(part) for part in parts)
        first = last


def answer(
    answers: Answers,
    rows: Histories,
    k: int,
    candidates: Iterable[Any] | None = None,
    exclude: Iterable[Any] | None = None,
    min_ratings: int | None = None,
) -> dict[str, list[Any]]:
    """Return the columns user, rank, item, title, score and known (their ratings that the run knows) for everybody."""
    engine, catalogue, meaning = answers.engine, answers.catalogue, answers.meaning
    inside = rows.item >= 0
    user, item, value = rows.user[inside], rows.item[inside], rows.value[inside]
    learned = np.ones(len(user), bool) if meaning.positive is None or not meaning.ranks else value >= meaning.positive
    y = np.ones_like(value) if meaning.ranks and meaning.positive is not None else value
    barred = torch.from_numpy(~answers.allowed(candidates, exclude, min_ratings))
    k = min(k, len(catalogue))
    found: dict[int, tuple[Tensor, Tensor]] = {}
    by_user = np.argsort(user, kind="stable")
    edges = np.searchsorted(user[by_user], np.arange(len(rows.names) + 1))
    for batch, support in padded(engine, user[learned], item[learned], y[learned], len(rows.names)):
        scores = engine.many(*support)
        scores[:, barred] = -torch.inf
        for line, person in enumerate(batch):
            scores[line, torch.from_numpy(item[by_user[edges[person] : edges[person + 1]]])] = -torch.inf
        best = scores.nan_to_num(nan=-torch.inf, posinf=-torch.inf, neginf=-torch.inf).topk(k)
        for line, person in enumerate(batch):
            keep = best.values[line] > -torch.inf
            found[int(person)] = best.indices[line][keep], best.values[line][keep]
    return columns(answers, rows, found, np.bincount(user, minlength=len(rows.names)))


def columns(answers: Answers, rows: Histories, found: dict[int, Any], known: Ints) -> dict[str, list[Any]]:
    """Return what was found as columns, people in the order of the file."""
    catalogue, meaning = answers.catalogue, answers.meaning
    numeric = all(name.isdigit() and str(int(name)) == name for name in rows.names)
    table: dict[str, list[Any]] = {name: [] for name in ("user", "rank", "item", "title", "score", "known")}
    for person, name in enumerate(rows.names):
        items, scores = found[person]
        if not meaning.ranks:
            scores = scores.clamp(*meaning.scale[:2])
        table["user"] += [int(name) if numeric else name] * len(items)
        table["rank"] += range(1, len(items) + 1)
        table["item"] += [catalogue.ids[i] for i in items.tolist()]
        table["title"] += [catalogue.title(i) for i in items.tolist()]
        table["score"] += [round(score, 4) for score in scores.tolist()]
        table["known"] += [int(known[person])] * len(items)
    return table
