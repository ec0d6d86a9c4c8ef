"""Read the files about movies, users and tags, each in the three official ways of writing them."""

from __future__ import annotations

import csv
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from metarun.data import features
from metarun.data.archive import Source
from metarun.data.features import Table
from metarun.data.parse import LARGEST_ID
from metarun.data.versions import Version
from metarun.errors import MetarunError

# The flags at the end of a line of u.item, in their order (file u.genre).
FLAGS = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
NO_GENRE = {"", "unknown", "(no genres listed)"}

Row = TypeVar("Row")


@dataclass(frozen=True)
class Catalogue:
    """Everything that is known apart from the ratings; ids ascending."""

    item_ids: NDArray[np.int64]  # (M,)
    titles: list[str]
    items: Table  # (M, Fi); zeros in the columns of tags
    tags: NDArray[np.int32]  # (A, 3) user id, item index, column of items; in the order of the file
    user_ids: NDArray[np.int64] | None  # (all users in the users file,); None: the version has no such file
    users: Table  # (the same, Fu)


def read(source: Source, version: Version) -> Catalogue:
    """Read movies, users and tags of a version.

    Which tags get a column is decided by how often all users gave them, test users included: names, not who gave what.

    Raises:
        MetarunError: a malformed line or an id that occurs twice; with file name and line number.
    """
    movies = _by_id(_movies(source, version), source.where(version.layout.movies))
    item_ids = np.array([key for key, _ in movies], dtype=np.int64)
    titles = [title for _, (title, _) in movies]
    frequent = _frequent_tags(source, version)
    items = features.items(titles, [genres for _, (_, genres) in movies], frequent)
    tags = _tags(source, version, item_ids, frequent, len(items.names) - len(frequent))
    if version.layout.users is None:
        return Catalogue(item_ids, titles, items, tags, None, Table(np.zeros((0, 0), dtype=np.float32), []))
    people = _by_id(_users(source, version), source.where(version.layout.users))
    genders, ages, occupations = zip(*(fields for _, fields in people), strict=True)
    known = features.OCCUPATIONS if version.layout.separator == "::" else sorted(set(occupations))
    users = features.users(genders, ages, occupations, known)
    return Catalogue(item_ids, titles, items, tags, np.array([key for key, _ in people], dtype=np.int64), users)


def _movies(source: Source, version: Version) -> Iterator[tuple[int, int, tuple[str, list[str]]]]:
    """Yield (line, movie id, (title, genres))."""
    name = version.layout.movies
    if version.layout.separator == "\t":
        for line, fields in records(source, version, name, "|", None, 5 + len(FLAGS)):
            if set(fields[5:]) - {"0", "1"}:
                raise _malformed(source, name, line, "every genre flag must be 0 or 1")
            genres = [genre for genre, flag in zip(FLAGS, fields[5:], strict=True) if flag == "1"]
            yield line, _id(source, name, line, fields[0]), (fields[1], _genres(genres))
        return
    for line, fields in records(source, version, name, version.layout.separator, "movieId,title,genres", 3):
        yield line, _id(source, name, line, fields[0]), (fields[1].strip(), _genres(fields[2].split("|")))


def _genres(words: list[str]) -> list[str]:
    return [word.strip() for word in words if word.strip() not in NO_GENRE]


def _users(source: Source, version: Version) -> Iterator[tuple[int, int, tuple[str, int, str]]]:
    """Yield (line, user id, (gender, age, occupation))."""
    name, coded = str(version.layout.users), version.layout.separator == "::"
    for line, fields in records(source, version, name, "::" if coded else "|", None, 5):
        gender, age = (fields[1], fields[2]) if coded else (fields[2], fields[1])
        occupation = fields[3].strip()
        if gender not in features.GENDERS:
            raise _malformed(source, name, line, f"the gender '{gender}' is neither F nor M")
        if not age.isdecimal() or (coded and int(age) not in features.AGES):
            groups = f" of {', '.join(map(str, features.AGES))}" if coded else ""
            raise _malformed(source, name, line, f"the age '{age}' is not a number{groups}")
        if coded:
            if not occupation.isdecimal() or int(occupation) >= len(features.OCCUPATIONS):
                raise _malformed(source, name, line, f"the occupation '{occupation}' is not a number from 0 to 20")
            occupation = features.OCCUPATIONS[int(occupation)]
        yield line, _id(source, name, line, fields[0]), (gender, int(age), occupation)


def _frequent_tags(source: Source, version: Version) -> list[str]:
    """Return the tags that get a column; none where the version or the folder has no tags."""
    return features.frequent_tags(fields[2] for _, fields in _tag_rows(source, version))


def _tags(
    source: Source, version: Version, item_ids: NDArray[np.int64], frequent: list[str], first: int
) -> NDArray[np.int32]:
    """Return who gave which item a frequent tag, (A, 3) user id, item index, column; columns count from `first`."""
    name = str(version.layout.tags)
    index = {int(key): i for i, key in enumerate(item_ids)}
    column = {tag: j for j, tag in enumerate(frequent, start=first)}
    found = array("i")  # a second pass over the file, because two million tags as Python objects would fill the memory
    for line, fields in _tag_rows(source, version):
        user, movie = (_id(source, name, line, text) for text in fields[:2])
        if movie not in index:
            raise _malformed(source, name, line, f"movie {movie} is not in {version.layout.movies}")
        tag = features.clean_tag(fields[2])
        if tag in column:
            found.extend((user, index[movie], column[tag]))
    return np.array(found, np.int32).reshape(-1, 3)


def _tag_rows(source: Source, version: Version) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, [user id, movie id, tag, time])."""
    name = version.layout.tags
    if name is not None and source.has(name):
        yield from records(source, version, name, version.layout.separator, "userId,movieId,tag,timestamp", 4)


def records(
    source: Source, version: Version, name: str, separator: str, header: str | None, width: int
) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, fields) of a text file; only files separated by commas have a header and quotes.

    Raises:
        MetarunError: wrong encoding, wrong header, or a line that has not `width` fields.
    """
    lines = _decoded(source, name, version.layout.encoding)
    if separator == ",":
        reader = csv.reader(lines, strict=True)
        rows = ((reader.line_num, fields) for fields in _quoted(reader, source, name))
    else:
        rows = ((number, line.rstrip("\r\n").split(separator)) for number, line in enumerate(lines, start=1))
    for number, fields in rows:
        if not "".join(fields).strip():
            continue
        if separator == "," and number == 1:
            if ",".join(fields) != header:
                raise _malformed(source, name, 1, f"the header is '{','.join(fields)[:80]}', but must be '{header}'")
        elif len(fields) != width:
            raise _malformed(source, name, number, f"it has {len(fields)} fields instead of {width}")
        else:
            yield number, fields


def _quoted(reader: Iterator[list[str]], source: Source, name: str) -> Iterator[list[str]]:
    try:
        yield from reader
    except csv.Error as error:
        raise _malformed(source, name, getattr(reader, "line_num", 0), str(error)) from error


def _decoded(source: Source, name: str, encoding: str) -> Iterator[str]:
    with source.open(name) as file:
        for number, raw in enumerate(file, start=1):
            try:
                yield (raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw).decode(encoding)
            except UnicodeDecodeError as error:
                raise _malformed(source, name, number, f"it is not {encoding} text") from error


def _id(source: Source, name: str, line: int, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 18 and int(text) <= LARGEST_ID):
        raise _malformed(source, name, line, f"the id '{text}' is not a whole number from 0 to {LARGEST_ID}")
    return int(text)


def _by_id(rows: Iterator[tuple[int, int, Row]], where: str) -> list[tuple[int, Row]]:
    """Return (id, row) with ascending ids; an id that occurs twice is an error."""
    found: dict[int, Row] = {}
    for line, key, row in rows:
        if key in found:
            raise MetarunError(f"{where} line {line}: id {key} occurs a second time.")
        found[key] = row
    if not found:
        raise MetarunError(f"{where} is empty.")
    return sorted(found.items(), key=lambda pair: pair[0])


def _malformed(source: Source, name: str, line: int, reason: str) -> MetarunError:
    return MetarunError(f"{source.where(name)} line {line}: {reason}.")
