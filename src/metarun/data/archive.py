"""Find and read the official files of a version, from a folder or straight out of the zip; nothing is ever unpacked."""

from __future__ import annotations

import hashlib
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from metarun.data.versions import Version
from metarun.errors import MetarunError


@dataclass(frozen=True)
class Source:
    """Where the files of a version were found: a folder, or a zip and the folder inside it."""

    path: Path
    inside: str | None = None  # "ml-1m/" or "" in a zip; None for a folder

    def where(self, name: str) -> str:
        """Return the file's place as errors print it."""
        return str(self.path / name) if self.inside is None else f"{self.path}:{self.inside}{name}"

    def has(self, name: str) -> bool:
        """Return whether the file exists."""
        if self.inside is None:
            return (self.path / name).is_file()
        return f"{self.inside}{name}" in _members(self.path)

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """Open the file as bytes; in a zip only the member with exactly this name is touched.

        Raises:
            MetarunError: missing, unreadable, or damaged.
        """
        if not self.has(name):
            raise MetarunError(f"{self.where(name)} is missing: place the official files there, or the official zip.")
        try:
            if self.inside is None:
                with (self.path / name).open("rb") as file:
                    yield file
            else:
                with zipfile.ZipFile(self.path) as archive, archive.open(f"{self.inside}{name}") as member:
                    yield member
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise MetarunError(
                f"{self.where(name)} is damaged ({error}): delete {self.path} and fetch it again."
            ) from error
        except OSError as error:
            raise MetarunError(f"{self.where(name)} cannot be read: {error.strerror or error}.") from error

    def size(self, name: str) -> int:
        """Return the file's size in bytes, unpacked."""
        if self.inside is None:
            return (self.path / name).stat().st_size
        with zipfile.ZipFile(self.path) as archive:
            return archive.getinfo(f"{self.inside}{name}").file_size

    def identity(self, names: list[str]) -> str:
        """Return path, size and time of change of everything that is read: the key of parsed columns."""
        paths = [self.path / name for name in names] if self.inside is None else [self.path, md5_file(self.path)]
        stats = [(str(p.resolve()), p.stat().st_size, p.stat().st_mtime_ns) for p in paths if p.is_file()]
        return repr((stats, self.inside))


def find(version: Version, folder: Path) -> Source | None:
    """Return where `version` lies under `folder`: `ml-1m/`, `ml-1m.zip`, `ml-1m/ml-1m.zip`, or `folder` itself.

    Raises:
        MetarunError: a file is missing inside what was found, or the zip is damaged.
    """
    places = [folder / name for name in version.folders] + [folder] * (folder.name in version.folders)
    layout = version.layout
    needed = [layout.ratings, layout.movies, *([layout.users] if layout.users else [])]
    for place in places:
        if (place / layout.ratings).is_file():
            return _complete(Source(place), needed)
    for zipped in (place / version.archive for place in (folder, *places)):
        if zipped.is_file():
            members = _members(zipped)
            inside = next((f"{n}/" for n in version.folders if f"{n}/{layout.ratings}" in members), "")
            return _complete(Source(zipped, inside), needed)
    for place in places:  # some official files, but not the ratings: say so instead of "not found"
        if any((place / name).is_file() for name in needed):
            return _complete(Source(place), needed)
    return None


def _complete(source: Source, needed: list[str]) -> Source:
    missing = [name for name in needed if not source.has(name)]
    if missing:
        raise MetarunError(
            f"{source.path} has no {' and no '.join(missing)}: it must hold the official files {', '.join(needed)}."
        )
    return source


def _members(path: Path) -> frozenset[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return frozenset(archive.namelist())
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise MetarunError(
            f"{path} is not a whole zip archive, it may be truncated ({error}): delete it and fetch it again."
        ) from error
    except OSError as error:
        raise MetarunError(f"{path} cannot be read: {error.strerror or error}.") from error


def md5_file(archive: Path) -> Path:
    """Return the path of the checksum file beside an archive: `ml-1m.zip.md5`."""
    return archive.with_name(archive.name + ".md5")


def md5(path: Path) -> str:
    """Return the MD5 of a file in hex digits; a check against damage, not against an attacker."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def parse_md5(text: str, where: str) -> str:
    """Return the hex digits in `MD5 (ml-1m.zip) = c4d9...` or `c4d9...  ml-1m.zip`.

    Raises:
        MetarunError: there are none.
    """
    match = re.search(r"(?<![0-9A-Za-z])[0-9A-Fa-f]{32}(?![0-9A-Za-z])", text)
    if match is None:
        raise MetarunError(f"{where} holds no MD5 checksum (32 hex digits).")
    return match[0].lower()


def verify(source: Source) -> None:
    """Compare a zip with the `.md5` file beside it, when there is one.

    Raises:
        MetarunError: they differ.
    """
    beside = md5_file(source.path)
    if source.inside is None or not beside.is_file():
        return
    expected, actual = parse_md5(beside.read_text(encoding="latin-1"), str(beside)), md5(source.path)
    if actual != expected:
        raise MetarunError(
            f"{source.path} has the wrong checksum: MD5 {actual}, but {beside.name} says {expected}. "
            "Delete both files and fetch it again."
        )
