"""MovieLens, all versions: find or fetch the official files, read them into columns, say what is there."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from metarun.data import archive, columns, download, kept, sample
from metarun.data.archive import Source
from metarun.data.ratings import Ratings, keep_users, unknown_times
from metarun.data.versions import VERSIONS, Version
from metarun.errors import MetarunError, did_you_mean

__all__ = ["VERSIONS", "check", "default_folder", "fetch", "read", "resolve"]

AUTO = "latest-small"  # what `auto` prefers
AUTO_SECONDS = 20.0  # longest wait for its download; a single wait on the network is 5 s at most


def default_folder() -> Path:
    """Return the data folder: METARUN_DATA, or one in the user's cache folder."""
    named = os.environ.get("METARUN_DATA")
    return Path(named).expanduser() if named else Path.home() / ".cache" / "metarun" / "data"


def read(version: str, folder: Path | None = None, cache: Path | None = None, users: str | None = None) -> Ratings:
    """Return the ratings of a version: auto, latest-small, 100k, 1m, 10m, 20m, 25m, 32m or sample.

    `folder` holds the official files or zips (default: METARUN_DATA), `cache` the parsed columns of large versions
    (default: METARUN_CACHE), `users` keeps a range of user ids such as "1-2999".

    Raises:
        MetarunError: not found and not to be had, damaged, or malformed; with file name and line number.
    """
    version = resolve(version, folder)
    if version == "sample":
        return keep_users(sample.generate(), users)
    source = _find(VERSIONS[version], folder)
    if source is None:
        fetch(version, folder)
        source = _find(VERSIONS[version], folder)
    if source is None:
        raise MetarunError(_by_hand(VERSIONS[version], folder, "was downloaded but is not there."))
    return keep_users(columns.load(source, VERSIONS[version], cache or kept.default_cache()), users)


def resolve(version: str, folder: Path | None = None) -> str:
    """Return the version that `auto` stands for on this machine; any other version is returned as it is.

    `auto` is latest-small, found or downloaded within a short time; otherwise the synthetic sample, said on stderr.

    Raises:
        MetarunError: no such version, or the data folder that was named does not exist.
    """
    if version in VERSIONS or version == "sample":
        return version
    known = ["auto", *VERSIONS, "sample"]
    if version != "auto":
        raise MetarunError(
            f"dataset.version={version} does not exist: choose {', '.join(known)}.{did_you_mean(str(version), known)}"
        )
    wanted = VERSIONS[AUTO]
    if _find(wanted, folder) is not None:
        return AUTO
    try:
        target = (folder or default_folder()) / wanted.archive
        download.download_within(AUTO_SECONDS, wanted.url, target, wanted.md5)
        return AUTO
    except MetarunError as error:
        print(
            f"*** NO REAL DATA: running on movielens/sample (synthetic), no evidence about real ratings. {error} "
            f"For real data set METARUN_DATA to a folder with {wanted.archive}. ***",
            file=sys.stderr,
        )
        return "sample"


def at_hand(folder: Path | None = None) -> str:
    """Return what `auto` is without a network: latest-small where its files are, else the sample."""
    return AUTO if _find(VERSIONS[AUTO], folder) is not None else "sample"


def fetch(version: str, folder: Path | None = None) -> Path:
    """Return where a version's files are, after downloading its official archive if they are not there yet.

    Raises:
        MetarunError: no such version, no network, a wrong checksum, a folder that cannot be written.
    """
    official = _official(version)
    source = _find(official, folder)
    if source is not None:
        return source.path
    target = (folder or default_folder()) / official.archive
    try:
        return download.download(official.url, target, official.md5)
    except MetarunError as error:
        raise MetarunError(_by_hand(official, folder, f"is not there, and {error}")) from error


def check(version: str, folder: Path | None = None, cache: Path | None = None) -> list[str]:
    """Read a version completely and return lines that say what is there and whether it is what is official.

    Raises:
        MetarunError: it is not there, damaged or malformed.
    """
    if version == "sample":
        ratings = sample.generate()
        return [f"{ratings.name}: generated, not read from files", *_contents(ratings)]
    official = _official(version)
    source = _find(official, folder)
    if source is None:
        raise MetarunError(_by_hand(official, folder, "is not there."))
    ratings = columns.load(source, official, cache or kept.default_cache())
    counts = (len(ratings.value), ratings.n_users, ratings.n_items)
    expected = (official.ratings, official.users, official.items)
    words = "as official" if counts == expected else "NOT the official {:,} ratings, {:,} users, {:,} items"
    lines = [f"{ratings.name}: {source.path}", *_contents(ratings), f"counts: {words.format(*expected)}"]
    if source.inside is not None:
        lines.append(_archive_line(source, official))
    return lines


def _contents(ratings: Ratings) -> list[str]:
    low, high, step = ratings.scale
    rated = len(set(ratings.item.tolist()))
    known = 1 - unknown_times(ratings) / len(ratings.time)
    return [
        f"ratings: {len(ratings.value):,} from {low:g} to {high:g} in steps of {step:g}",
        f"users: {ratings.n_users:,} with {len(ratings.user_feature_names)} features",
        f"items: {ratings.n_items:,} with {len(ratings.item_feature_names)} features, {rated:,} of them rated",
        f"known times: {100 * known:.1f} %",
        f"sha256 of the columns: {ratings.checksum}",
    ]


def _archive_line(source: Source, official: Version) -> str:
    actual, beside = archive.md5(source.path), archive.md5_file(source.path)
    if official.md5 is not None:
        return f"MD5 of the zip: {actual}, " + (
            "as official" if actual == official.md5 else f"NOT the official {official.md5}"
        )
    return f"MD5 of the zip: {actual}, " + (
        f"as in {beside.name}" if beside.is_file() else "no official one to compare"
    )


def _official(version: str) -> Version:
    if version not in VERSIONS:
        raise MetarunError(
            f"There is no MovieLens version '{version}' to fetch or check: choose {', '.join(VERSIONS)}."
            f"{did_you_mean(version, VERSIONS)}"
        )
    return VERSIONS[version]


def _find(version: Version, folder: Path | None) -> Source | None:
    named = folder is not None or bool(os.environ.get("METARUN_DATA"))
    place = folder or default_folder()
    if named and not place.is_dir():
        option = "paths.data" if folder is not None else "METARUN_DATA"
        raise MetarunError(f"The data folder {place} does not exist: create it, or change {option}.")
    return archive.find(version, place)


def _by_hand(version: Version, folder: Path | None, problem: str) -> str:
    place = folder or default_folder()
    return (
        f"MovieLens {version.name} {problem} To place it by hand: download {version.url} and put {version.archive} "
        f"into {place}, or set METARUN_DATA to the folder that has it."
    )
