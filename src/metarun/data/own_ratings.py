"""From files of the user's own to `Ratings`, and what was noticed on the way."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metarun.data import ids
from metarun.data.features import Table, joined
from metarun.data.interactions import SECTION, Interactions, inferred_scale, read_interactions
from metarun.data.own import Description
from metarun.data.ratings import Ratings, assemble, checksum, user_offsets
from metarun.data.side_tables import SideTable, read_side
from metarun.errors import MetarunError


@dataclass
class Found:
    """Ratings and what to tell the user about the files they come from."""

    ratings: Ratings
    notes: list[str]
    rows: int  # of the file
    merged: int  # rows that were merged into others of the same user and item
    events: dict[str, int] = field(default_factory=dict)  # type -> rows


def read(given: Description, section: str = SECTION) -> Found:
    """Read the files that a description names.

    Raises:
        MetarunError: whatever is wrong in them, with file, line and column.
    """
    rows = read_interactions(given, section)
    notes = rows.notes
    items = users = None
    if given.items is not None:
        wanted = {"item_id": given.item_id, "title": given.title}
        items = read_side(given.file_of(given.items), "item", wanted, list(given.text_columns), section, given.encoding)
        words_of(items, given)
        notes += items.notes
    if given.users is not None:
        users = read_side(given.file_of(given.users), "user", {"user_id": given.user_id}, [], section, given.encoding)
        notes += users.notes
    all_items, item_row = catalogue(rows.items, items, rows, notes, f"{section}.item_id")
    item_ids, item_place, said = ids.ascending(all_items, "items", rows.path.name)
    user_ids, user_place, said_too = ids.ascending(rows.users, "users", rows.path.name)
    notes += [*said_too, *said]
    if len(user_ids) < 2:
        raise MetarunError(
            f"{rows.path}: has one user only ('{user_ids[0]}'); users are what is learned from and judged on"
        )
    total = len(rows.user)
    columns, merged = arrange(rows, user_place[rows.user], item_place[rows.item], given.repeats, len(item_ids))
    notes += _merged(rows, merged, given)
    titles = np.array(all_items, dtype=object)
    if items is not None and items.titles is not None:
        known = item_row >= 0
        titles[known] = np.array(items.titles, dtype=object)[item_row[known]]
    order = np.argsort(item_place)
    user_row = _user_rows(rows, users, notes, f"{section}.user_id")
    by_user = np.argsort(user_place)
    scale = _scale(rows, given, notes, section) if rows.explicit else (0.0, float(columns["value"].max()), 1.0)
    item_features, user_features = _spread(items, item_row[order]), _spread(users, user_row[by_user])
    arrays: dict[str, NDArray[Any]] = {
        **columns,
        "offsets": user_offsets(columns["user"], len(user_ids)),
        "user_ids": user_ids,
        "item_ids": item_ids,
        "user_features": user_features.values,
        "item_features": item_features.values,
        "tags": np.zeros((0, 3), np.int32),
    }
    words = {
        "scale": scale,
        "titles": [str(title) for title in titles[order]],
        "user_feature_names": user_features.names,
        "item_feature_names": item_features.names,
        "feedback": "explicit" if rows.explicit else "implicit",
    }
    ratings = assemble(rows.path.name, False, checksum(arrays, words), arrays, words)
    return Found(ratings, notes, total, merged, rows.counts)


def words_of(items: SideTable, given: Description) -> None:
    """Add the features of the columns of text. Raises MetarunError where scikit-learn is not installed."""
    if not items.words:
        return
    if importlib.util.find_spec("sklearn") is None:
        raise MetarunError(
            "features of texts need scikit-learn: pip install scikit-learn, or leave dataset.text_columns empty"
        )
    from metarun.data.text import text_table

    tables = [text_table(words, given.text, given.text_width, 0, name) for name, words in items.words.items()]
    for name, table in zip(items.words, tables, strict=True):
        items.notes.append(f"{items.path.name}: column '{name}': text, {len(table.names)} features by {given.text}")
    items.features = joined([items.features, *tables], len(items.texts))


def catalogue(
    rated: NDArray[np.object_], table: SideTable | None, rows: Interactions, notes: list[str], option: str
) -> tuple[NDArray[np.object_], NDArray[np.int64]]:
    """Return all items as text, the rated ones first, and each one's row in the item table, -1 where it has none."""
    import pandas as pd

    if table is None:
        return rated, np.full(len(rated), -1)
    row = _matched(rated, table, rows, "items", notes, option)
    new = np.setdiff1d(np.arange(len(table.texts)), row)
    unrated = len(new)
    if unrated:
        notes.append(
            f"{unrated:,} items of {table.path.name} have no row in {rows.path.name}: they stay in the catalogue"
        )
    return pd.concat([pd.Series(rated), pd.Series(table.texts[new])]).to_numpy(dtype=object), np.concatenate([row, new])


def _matched(
    texts: NDArray[np.object_], table: SideTable, rows: Interactions, who: str, notes: list[str], option: str
) -> NDArray[np.int64]:
    """Return the row of each id in the table, -1 where it has none. Raises MetarunError where ids are written apart."""
    import pandas as pd

    row = np.asarray(pd.Index(table.texts).get_indexer(pd.Index(texts)), dtype=np.int64)
    missing = texts[row < 0]
    if not len(missing):
        return row
    # Only ids without a match can be the same number in another writing.
    pair = ids.twin(missing, table.texts)
    if pair:
        raise MetarunError(
            f"{rows.path}: has the {who[:-1]} '{pair[0]}', {table.path} has '{pair[1]}'; write ids alike in both "
            "files, for 12, 012 and 12.0 are different ids"
        )
    if len(missing) == len(texts):
        raise MetarunError(
            f"{table.path}: none of its {len(table.texts):,} ids (such as '{table.texts[0]}') is one of the {who} of "
            f"{rows.path} (such as '{texts[0]}'); name the column of ids, {option}=COLUMN"
        )
    notes.append(
        f"{len(missing):,} of {len(texts):,} {who} of {rows.path.name} are not in {table.path.name} (such as "
        f"'{missing[0]}'): their features are zero"
    )
    return row


def _user_rows(rows: Interactions, table: SideTable | None, notes: list[str], option: str) -> NDArray[np.int64]:
    if table is None:
        return np.full(len(rows.users), -1)
    row = _matched(rows.users, table, rows, "users", notes, option)
    silent = len(table.texts) - int((row >= 0).sum())
    if silent:
        notes.append(f"{silent:,} users of {table.path.name} have no row in {rows.path.name}: they are left out")
    return row


def arrange(
    rows: Interactions, user: NDArray[np.int64], item: NDArray[np.int64], repeats: str, n_items: int
) -> tuple[dict[str, NDArray[Any]], int]:
    """Return user, item, value and time by user, time and order of the file, and how many rows were merged.

    Of several ratings of the same user and item the last stays; weights of events are summed, or the largest stays, at
    the time of the last.
    """
    order = np.lexsort((rows.time, user))
    user, item = user[order].astype(np.int32), item[order].astype(np.int32)
    value, time = rows.value[order], rows.time[order]
    key = user * np.int64(n_items) + item
    pairs = np.argsort(key, kind="stable")
    last = np.append(key[pairs][1:] != key[pairs][:-1], True)
    merged = int((~last).sum())
    if merged:
        if not rows.explicit:
            starts = np.flatnonzero(np.append(True, last[:-1]))
            value = value.copy()
            value[pairs[last]] = (np.add if repeats == "sum" else np.maximum).reduceat(value[pairs], starts)
        kept = np.sort(pairs[last])
        user, item, value, time = user[kept], item[kept], value[kept], time[kept]
    return {"user": user, "item": item, "value": value.astype(np.float32), "time": time}, merged


def _merged(rows: Interactions, merged: int, given: Description) -> list[str]:
    if not merged:
        return []
    if rows.explicit:
        return [f"{merged:,} rows rate an item that the user rated before: the last one in time, or in the file, stays"]
    how = "summed" if given.repeats == "sum" else "the largest stays"
    return [
        f"{merged:,} rows repeat an item of the same user: weights are {how} (dataset.repeats), the last time stays"
    ]


def _scale(rows: Interactions, given: Description, notes: list[str], section: str) -> tuple[float, float, float]:
    if given.scale is not None:
        low, high, step = given.scale
        return float(low), float(high), float(step)
    low, high, step = inferred_scale(rows.value)
    steps = f" in steps of {step:g}" if step else ", continuous"
    notes.append(
        f"rating scale as found: {low:g} to {high:g}{steps}; {section}.scale=[lowest,highest,step] says otherwise"
    )
    return low, high, step


def _spread(table: SideTable | None, row: NDArray[np.int64]) -> Table:
    """Return the features of a table at rows (N,), zeros at -1."""
    if table is None:
        return Table(np.zeros((len(row), 0), np.float32), [])
    values = np.zeros((len(row), len(table.features.names)), np.float32)
    values[row >= 0] = table.features.values[row[row >= 0]]
    return Table(values, table.features.names)
