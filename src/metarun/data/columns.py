"""Turn a source into sorted columns, and keep the columns of large data memory-mapped in the cache."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metarun.data import archive, catalogue, kept, parse
from metarun.data.archive import Source
from metarun.data.ratings import ARRAYS, WORDS, Ratings, assemble, checksum, user_offsets
from metarun.data.versions import Version
from metarun.errors import MetarunError
from metarun.locking import alone

FORMAT = 2  # raise it when the meaning of a cached column changes
SMALL = 8_000_000  # bytes of ratings; less is read again each time, faster than anybody notices
TABLE = 2**24  # ids below this are looked up in a table instead of by bisection


def load(source: Source, version: Version, cache: Path) -> Ratings:
    """Return the ratings of a source, from the cache if the same files were read before.

    Raises:
        MetarunError: bad data (file and line), or a cache that cannot be written.
    """
    layout = version.layout
    if source.size(layout.ratings) < SMALL:
        archive.verify(source)
        return build(source, version)
    names = [name for name in (layout.ratings, layout.movies, layout.users, layout.tags) if name]
    key = hashlib.sha256(f"{FORMAT} {source.identity(names)}".encode()).hexdigest()[:16]
    place = cache / f"movielens-{version.name}-{key}"
    found = _open(place, version)
    if found is None:
        # Of the jobs of a sweep one parses, the others wait for it.
        with alone(cache / f".{place.name}.lock", f"The parsed columns cannot be kept in {cache}", kept.ROOM):
            found = _open(place, version)
            if found is None:
                archive.verify(source)
                _store(build(source, version), place, version)
                found = _open(place, version)
    if found is None:
        raise MetarunError(f"{place} was written but cannot be read back: set METARUN_CACHE to another folder.")
    return found


def build(source: Source, version: Version) -> Ratings:
    """Parse a source into columns sorted by user, then time, then the order of the file.

    Raises:
        MetarunError: a malformed row, an unknown user or item, a rating outside the scale, a pair rated twice.
    """
    known = catalogue.read(source, version)
    columns, user_ids = _gather(source, version, known)
    _refuse_duplicates(columns, source, version, known.item_ids, user_ids)
    order = np.lexsort((columns["time"], columns["user"]))
    for name in list(columns):  # one at a time: two copies of all columns would double the memory
        columns[name] = columns[name][order]
    del order
    user_features = known.users.values
    if known.user_ids is not None:
        user_features = user_features[np.searchsorted(known.user_ids, user_ids)]
    else:
        user_features = np.zeros((len(user_ids), 0), dtype=np.float32)
    arrays: dict[str, NDArray[Any]] = {
        **columns,
        "offsets": user_offsets(columns["user"], len(user_ids)),
        "user_ids": user_ids,
        "item_ids": known.item_ids,
        "user_features": user_features,
        "item_features": known.items.values,
        "tags": _tags(known, user_ids),
    }
    words = {
        "scale": version.scale,
        "titles": known.titles,
        "user_feature_names": known.users.names,
        "item_feature_names": known.items.names,
    }
    return assemble(f"movielens/{version.name}", False, checksum(arrays, words), arrays, words)


def _gather(
    source: Source, version: Version, known: catalogue.Catalogue
) -> tuple[dict[str, NDArray[Any]], NDArray[np.int64]]:
    """Return the file's columns in file order, ids replaced by indices, and the ids of the users that occur."""
    parts: dict[str, list[NDArray[Any]]] = {"user": [], "item": [], "value": [], "time": []}
    seen: list[NDArray[np.int32]] = []
    rows = 0
    for chunk in parse.chunks(source, version):
        item = positions(chunk["item"], known.item_ids)
        _refuse_unknown(item, chunk["item"], rows, "movie", version.layout.movies, source, version)
        if known.user_ids is not None:
            user = positions(chunk["user"], known.user_ids)
            _refuse_unknown(user, chunk["user"], rows, "user", str(version.layout.users), source, version)
        seen.append(np.unique(chunk["user"]))
        for name, part in {**chunk, "item": item}.items():
            parts[name].append(part)
        rows += len(item)
    if not rows:
        raise MetarunError(f"{source.where(version.layout.ratings)} holds no ratings.")
    user_ids = np.unique(np.concatenate(seen)).astype(np.int64)
    parts["user"] = [positions(part, user_ids) for part in parts["user"]]
    columns = {name: np.concatenate(parts.pop(name)) for name in list(parts)}
    return columns, user_ids


def _tags(known: catalogue.Catalogue, user_ids: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return (A, 3) user, item, column; ascending, each once, without those by users who rated nothing."""
    found = np.column_stack([positions(known.tags[:, 0], user_ids), known.tags[:, 1:]])
    return np.unique(found[found[:, 0] >= 0], axis=0)


def positions(ids: NDArray[Any], known: NDArray[Any]) -> NDArray[np.int32]:
    """Return for each id, number or text, its position in the ascending `known`, or -1; same shape as `ids`."""
    if known.dtype.kind == "i" and known[-1] < TABLE and min(known[0], ids.min(initial=0)) >= 0:
        table = np.full(int(known[-1]) + 2, -1, dtype=np.int32)
        table[known] = np.arange(len(known), dtype=np.int32)
        return np.asarray(table[np.minimum(ids, ids.dtype.type(known[-1] + 1))])
    found = np.minimum(np.searchsorted(known, ids), len(known) - 1)
    return np.where(known[found] == ids, found, -1).astype(np.int32)


def _refuse_unknown(
    found: NDArray[np.int32], ids: NDArray[Any], rows: int, kind: str, file: str, source: Source, version: Version
) -> None:
    if found.min(initial=0) >= 0:
        return
    row = int(np.argmax(found < 0))
    (line,) = parse.line_numbers(source, version, [rows + row])
    raise MetarunError(f"{source.where(version.layout.ratings)} line {line}: {kind} {ids[row]} is not in {file}.")


def _refuse_duplicates(
    columns: dict[str, NDArray[Any]],
    source: Source,
    version: Version,
    item_ids: NDArray[np.int64],
    user_ids: NDArray[np.int64],
) -> None:
    key = _pair_keys(columns, len(item_ids))
    key.sort()  # in place: for large data this is the peak of the memory
    count = int(np.count_nonzero(key[1:] == key[:-1]))
    if not count:
        return
    key = _pair_keys(columns, len(item_ids))
    order = np.argsort(key, kind="stable")
    again = order[1:][key[order][1:] == key[order][:-1]]
    row = int(again.min())
    first = int(np.argmax(key == key[row]))
    line, before = parse.line_numbers(source, version, [row, first])
    user, item = user_ids[columns["user"][row]], item_ids[columns["item"][row]]
    rows = "1 such row" if count == 1 else f"{count} such rows"
    raise MetarunError(
        f"{source.where(version.layout.ratings)} line {line}: user {user} rated movie {item} before, on line {before}; "
        f"{rows} in all. Keep one rating for each user and movie."
    )


def _pair_keys(columns: dict[str, NDArray[Any]], n_items: int) -> NDArray[np.int64]:
    """Return (rows,) one number for each pair of user and item."""
    return np.asarray(columns["user"] * np.int64(n_items) + columns["item"])


def _open(place: Path, version: Version) -> Ratings | None:
    """Return the columns kept at `place`, memory-mapped, or None if they are not there or not whole."""
    try:
        meta = json.loads((place / "meta.json").read_text(encoding="utf-8"))
        # Mode "c": nothing is ever written back, yet the arrays count as writable, which torch.from_numpy wants.
        arrays = {name: np.asarray(np.load(place / f"{name}.npy", mmap_mode="c")) for name in ARRAYS}
        if meta["shapes"] != {name: list(array.shape) for name, array in arrays.items()}:
            return None
        return assemble(f"movielens/{version.name}", False, meta["checksum"], arrays, meta["words"])
    except (OSError, EOFError, ValueError, KeyError, TypeError):
        return None


def _store(ratings: Ratings, place: Path, version: Version) -> None:
    """Write the columns into a temporary folder and rename it to `place`: readers see all of it or nothing."""
    arrays = {name: getattr(ratings, name) for name in ARRAYS}
    meta = {
        "checksum": ratings.checksum,
        "shapes": {name: list(array.shape) for name, array in arrays.items()},
        "words": {name: getattr(ratings, name) for name in WORDS},
    }
    kept.store(place, arrays, meta, lambda: _open(place, version) is not None, "The parsed columns")
