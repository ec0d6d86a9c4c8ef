"""Tables of items and users of the user's own: ids, titles, and every other column as features."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metarun.data import column_names, ids, tabular
from metarun.data.features import MAX_TAGS, Table, joined
from metarun.errors import MetarunError

FEW = 50  # distinct texts up to which a column is one-hot
PROSE = 40  # mean characters of a part from which "|" is taken for punctuation


@dataclass
class SideTable:
    """What one table says about its rows, in the order of the file."""

    path: Path
    texts: NDArray[np.object_]  # (rows,) ids as written
    titles: list[str] | None
    features: Table  # (rows, F)
    words: dict[str, list[str]] = field(default_factory=dict)  # column -> texts, of the columns named as text
    notes: list[str] = field(default_factory=list)


def read_side(
    path: Path, role: str, wanted: dict[str, str | None], text: list[str], section: str, encoding: str
) -> SideTable:
    """Read the table of a role, "item" or "user"; `wanted` has the columns "item_id" and "title", or "user_id".

    Raises:
        MetarunError: no such file or column, an id that is empty or occurs twice, with its line.
    """
    option = f"{section}.{role}s"
    table = tabular.open_table(path, option, "auto", encoding, None)
    roles = {role: wanted[f"{role}_id"]} | ({"title": wanted["title"]} if "title" in wanted else {})
    if roles[role] == "auto" and sum(column_names.plain(name) == "id" for name in table.names) == 1:
        usual = [name for name in table.names if column_names.plain(name) in column_names.USUAL[role].split()]
        roles[role] = usual[0] if usual else next(n for n in table.names if column_names.plain(n) == "id")
    chosen, said = _choose(table, roles, section, role)
    for name in text:
        if name not in table.names:
            listed = column_names.listed(table.names)
            raise MetarunError(f"{section}.text_columns=[{name}]: {path} has no such column; it has {listed}")
    key = ids.Column(table, str(chosen[role]))
    rest = [name for name in dict.fromkeys(table.names) if name != key.name]
    parts: dict[str, list[Any]] = {name: [] for name in rest}
    for chunk in table.chunks({key.name: tabular.ID} | dict.fromkeys(rest, tabular.WORDS)):
        key.add(chunk[key.name])
        for name in rest:
            parts[name].append(chunk[name])
    number, texts = key.finish()
    if len(texts) < len(number):
        again = _second(number)
        raise MetarunError(
            f"{path} {table.place(again)}: column '{key.name}': the id '{texts[number[again]]}' occurs a second time"
        )
    found = _side(table, texts[number], parts, chosen.get("title"), text)
    found.notes.insert(0, f"{path.name}: {said[0].partition('; not used')[0]}")
    return found


def _choose(
    table: Any, roles: dict[str, str | None], section: str, role: str
) -> tuple[dict[str, str | None], list[str]]:
    """Return role -> column and what to say, errors in the names of the options of this table."""
    try:
        return column_names.choose(table.names, roles, section, table.path, (role,))
    except MetarunError as error:
        raise MetarunError(str(error).replace(f"{section}.{role}=", f"{section}.{role}_id=")) from None


def _second(number: NDArray[np.int64]) -> int:
    """Return the first row whose number occurred before."""
    seen = np.zeros(len(number), bool)
    seen[np.unique(number, return_index=True)[1]] = True
    return int((~seen).argmax())


def _side(
    table: Any, texts: NDArray[np.object_], parts: dict[str, list[Any]], title: str | None, text: list[str]
) -> SideTable:
    import pandas as pd

    found = SideTable(table.path, texts, None, Table(np.zeros((len(texts), 0), np.float32), []))
    blocks = []
    for name in list(parts):
        values = pd.concat(parts.pop(name), ignore_index=True)
        if name == title or name in text:
            there = values.notna().to_numpy()
            words = [str(word).strip() if known else "" for word, known in zip(values, there, strict=True)]
        if name == title:
            found.titles = [word or str(key) for word, key in zip(words, texts, strict=True)]
        if name in text:
            found.words[name] = words
        elif name != title:
            block, note = column_features(name, values)
            found.notes.append(f"{table.path.name}: column '{name}': {note}")
            blocks.append(block)
    found.features = joined(blocks, len(texts))
    return found


def column_features(name: str, values: Any) -> tuple[Table, str]:
    """Return the features (rows, F) of a column of texts and what it was taken for; an empty field has zeros.

    Numbers are standardised, up to FEW different texts one-hot, lists with "|" multi-hot; other text is left out.
    """
    import pandas as pd

    known = values.notna().to_numpy() & (values.str.strip() != "").fillna(False).to_numpy(dtype=bool)
    given = values[known]
    distinct = given.nunique()
    nothing = Table(np.zeros((len(values), 0), np.float32), [])
    if distinct < 2:
        return nothing, "the same everywhere, left out"
    number = pd.to_numeric(given, errors="coerce").to_numpy(dtype=np.float64)
    if np.isfinite(number).all():
        column = np.zeros((len(values), 1), np.float32)
        column[known, 0] = (number - number.mean()) / (number.std() or 1.0)
        return Table(column, [name]), "a number, standardised"
    if given.str.contains("|", regex=False).any() and given.str.len().mean() < PROSE * (
        1 + given.str.count(r"\|").mean()
    ):
        return _multi_hot(name, values, known)
    if distinct <= FEW and 2 * distinct <= len(given):
        kinds = sorted(given.str.strip().unique())
        code = pd.Categorical(given.str.strip(), kinds).codes
        hot = np.zeros((len(values), len(kinds)), np.float32)
        hot[np.flatnonzero(known), code] = 1
        return Table(hot, [f"{name}={kind}" for kind in kinds]), f"one-hot of {len(kinds)}"
    return nothing, f"{distinct:,} different texts, left out; name it in dataset.text_columns to use its words"


def _multi_hot(name: str, values: Any, known: NDArray[np.bool_]) -> tuple[Table, str]:
    lists = [[part.strip() for part in words.split("|") if part.strip()] for words in values[known]]
    counts = Counter(part for some in lists for part in set(some))
    kept = sorted(part for part, _ in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:MAX_TAGS])
    place = {part: column for column, part in enumerate(kept)}
    hot = np.zeros((len(values), len(kept)), np.float32)
    pairs = [(r, place[p]) for r, some in zip(np.flatnonzero(known), lists, strict=True) for p in some if p in place]
    if pairs:
        hot[tuple(np.array(pairs).T)] = 1
    more = f", the most frequent of {len(counts):,}" if len(counts) > len(kept) else ""
    return Table(hot, [f"{name}={part}" for part in kept]), f"lists, multi-hot of {len(kept)}{more}"
