"""Taking in ratings that came after training: people become known, new items recommendable; nothing is retrained."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metarun.answers import newcomers
from metarun.answers import people as peoples
from metarun.answers.api import Answers
from metarun.answers.batch import padded, texts, titled
from metarun.answers.catalogue import Catalogue
from metarun.answers.people import People
from metarun.answers.sheets import Table
from metarun.errors import MetarunError


class TakenIn(NamedTuple):
    """What an update has done."""

    path: Path
    rows: int  # in the file
    added: int
    changed: int
    people: int  # in the file
    known_people: int  # with everything taken in so far
    new: list[tuple[Any, str, int]]  # id, title, raters of every new item that can be recommended now
    waiting: int  # new items with too few raters
    why_not: str | None  # why this run takes in no new item at all
    ranks: bool  # rows are interactions
    counted: str  # what a new item needs enough of


def update(path: Path, content: dict[str, Any], table: Table, titles: Table | None, at_least: int) -> TakenIn:
    """Add a file's rows to the people beside the answers at `path`, and fold in the items that have enough raters.

    Raises:
        MetarunError: a cell is empty or wrong; the folder cannot be written.
    """
    with peoples.alone(path):
        before = peoples.load(path, content)
        plain = Answers(content, path, beside=False)  # without the items that earlier updates brought
        users, items = texts(table, "user"), resolved(table, plain)
        values = plain.meaning.of_table(table).astype(np.float32)
        given = People(np.array(users, dtype=np.str_), np.array(items, dtype=np.str_), values, table.times())
        fresh = ~repeats(before, given)
        after = peoples.joined(before, given.user[fresh], given.item[fresh], given.value[fresh], given.time[fresh])
        after = replace(after, titles={**before.titles, **named(titles)})
        after, counts, why_not = with_new_items(plain, after, at_least)
        where = peoples.save(path, after)
    new = [(one, after.titles.get(one, ""), counts[one]) for one in after.new_ids]
    added = len(after.user) - len(before.user)
    return TakenIn(
        where, len(users), added, int(fresh.sum()) - added if added >= 0 else 0, len(set(users)),
        len(np.unique(after.user)), new, len(counts) - len(new), why_not, plain.meaning.ranks,
        counted(plain),
    )  # fmt: skip


def resolved(table: Table, answers: Answers) -> list[str]:
    """Return the items of a file as ids: known ones by id or title, and new ids of the kind that the run has.

    Raises:
        MetarunError: neither an id of that kind nor a title, with the line.
    """
    catalogue = answers.catalogue
    written = texts(table, "item")
    numbers = isinstance(catalogue.ids[0], int)
    found: dict[str, str] = {}
    for row, one in enumerate(written):
        if one in found:
            continue
        if one in catalogue.place:
            found[one] = one
        elif (place := titled(answers, one)) >= 0:
            found[one] = str(catalogue.ids[place])
        elif not numbers or one.lstrip("-").isdigit():
            found[one] = one
        else:
            raise MetarunError(
                f"{table.at(row, 'item')}: '{one}' is neither a title that one item has nor an id, and the ids of "
                f"this run are numbers.{catalogue.like(one)}"
            )
    return [found[one] for one in written]


def named(titles: Table | None) -> dict[str, str]:
    """Return the titles of a file of items by id."""
    return {} if titles is None else dict(zip(texts(titles, "item"), map(str, titles.cells("title")), strict=True))


def repeats(before: People, given: People) -> NDArray[np.bool_]:
    """Return which rows are there already, the same in everything."""
    rows = zip(before.user, before.item, before.value.tolist(), before.time.tolist(), strict=True)
    known = set(rows)
    again = zip(given.user, given.item, given.value.tolist(), given.time.tolist(), strict=True)
    return np.array([row in known for row in again], dtype=bool)


def with_new_items(answers: Answers, people: People, at_least: int) -> tuple[People, dict[str, int], str | None]:
    """Return the people with the features of the new items, how many chose each, and why none can be taken in."""
    catalogue: Catalogue = answers.catalogue
    item = np.array([catalogue.place.get(one, -1) for one in people.item], dtype=np.int64)
    names, user = np.unique(people.user, return_inverse=True)
    chosen = counts_as_chosen(answers, people.value)
    # 0 for an item that was only rated below what counts
    counts = dict.fromkeys(map(str, people.item[item < 0]), 0) | Counter(map(str, people.item[(item < 0) & chosen]))
    enough = [one for one, number in counts.items() if number >= at_least]
    nothing = replace(people, new=None, new_ids=[], fingerprint=answers.content["fingerprint"])
    if not counts:
        return nothing, counts, None
    weight = adapted(answers, user, item, people.value, len(names))
    if weight is None:
        return nothing, counts, f"{answers.method} keeps no weight per person that a new item could be fitted to"
    if not enough:
        return nothing, counts, None
    rows = [np.flatnonzero((people.item == one) & chosen) for one in enough]
    who = [user[place] for place in rows]
    y = [labels(answers, people.value[place]) - weight[user[place], -1] for place in rows]
    rated, doubt = content_rated(answers, at_least), noise(answers, weight, user, item, people.value)
    new = newcomers.fold_in(answers.engine, weight[:, :-1], who, y, doubt, rated)
    return replace(nothing, new=new, new_ids=enough), counts, None


def adapted(
    answers: Answers, user: NDArray[np.int64], item: NDArray[np.int64], value: NDArray[np.float32], people: int
) -> Tensor | None:
    """Return the weights (people, D + 1) after everybody's ratings of known items; see `newcomers.weights`."""
    learned = (item >= 0) & counts_as_chosen(answers, value)
    y = labels(answers, value[learned]).numpy()
    found: Tensor | None = None
    for batch, support in padded(answers.engine, user[learned], item[learned], y, people):
        part = newcomers.weights(answers.engine, *support)
        if part is None:
            return None
        found = part.new_zeros(people, part.shape[1]) if found is None else found
        found[torch.from_numpy(batch)] = part
    return found


def counts_as_chosen(answers: Answers, value: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return which rows are learned from."""
    meaning = answers.meaning
    if not meaning.ranks or meaning.positive is None:
        return np.ones(len(value), bool)
    return np.asarray(value >= meaning.positive)


def counted(answers: Answers) -> str:
    """Return what rows a new item needs, in words."""
    meaning = answers.meaning
    if not meaning.ranks or meaning.positive is None:
        return "ratings"
    return f"ratings of {meaning.positive:g} or more"


def labels(answers: Answers, value: NDArray[np.float32]) -> Tensor:
    """Return the labels of rows that count as chosen: ratings; for a ranking 1."""
    return torch.ones(len(value)) if answers.meaning.ranks else torch.from_numpy(value)


def content_rated(answers: Answers, at_least: int) -> Tensor:
    """Return which items of the run have enough training ratings to say what items are like; all, if few have."""
    rated: Tensor = answers.content["popularity"] >= at_least
    return rated if int(rated.sum()) > 2 * answers.engine.width else torch.ones_like(rated)


def noise(
    answers: Answers, weight: Tensor, user: NDArray[np.int64], item: NDArray[np.int64], value: NDArray[np.float32]
) -> float:
    """Return the variance of a rating around its prediction: of validation, else of the people taken in."""
    error = answers.content["error"]
    if error is not None:
        return float(error) ** 2
    rows = np.flatnonzero((item >= 0) & counts_as_chosen(answers, value))
    assert answers.engine.features is not None
    feature = answers.engine.features[torch.from_numpy(item[rows])]
    design, offset = answers.engine.rule.model.head.split(feature)
    mine = weight[torch.from_numpy(user[rows])]
    score = (design * mine[:, :-1]).sum(-1) + mine[:, -1] + offset[..., 0]
    found = float((labels(answers, value[rows]) - score).square().mean()) if len(rows) else 1.0
    return max(found, 1e-3)
