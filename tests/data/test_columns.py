"""The cache of parsed columns: used, renewed, mended, and clear about what it cannot do."""

from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from metarun.data import columns, movielens
from metarun.data.versions import VERSIONS
from metarun.errors import MetarunError


def test_small_data_leaves_no_cache(place):
    place.unpacked("latest-small")
    movielens.read("latest-small", place.folder)
    assert not Path(os.environ["METARUN_CACHE"]).exists()


@pytest.fixture
def cached(place, monkeypatch):
    """A data folder whose columns are always cached, and the number of times they were parsed."""
    built = []
    build = columns.build
    monkeypatch.setattr(columns, "SMALL", 0)
    monkeypatch.setattr(columns, "build", lambda *given: built.append(1) or build(*given))
    place.unpacked("1m")
    return place, built


def test_the_cache_is_used_once_written_and_renewed_with_the_file(cached):
    place, built = cached
    first, again = (movielens.read("1m", place.folder) for _ in range(2))
    assert len(built) == 1
    assert first.checksum == again.checksum == columns.build(*_source(place)).checksum
    assert again.value.flags.writeable  # copy on write, and torch asks for it
    assert type(again.value) is np.ndarray
    again.value[:] = 1
    assert movielens.read("1m", place.folder).value.tolist() == first.value.tolist()
    path = place.folder / "ml-1m" / "ratings.dat"
    path.write_bytes(path.read_bytes() + b"7::10::5::978300999\n")
    assert len(movielens.read("1m", place.folder).value) == len(first.value) + 1
    assert not list(Path(os.environ["METARUN_CACHE"]).glob(".unfinished-*"))


def test_cached_columns_keep_the_tags(cached):
    place, built = cached
    for version in ("1m", "10m"):
        place.unpacked(version)
        first, again = (movielens.read(version, place.folder) for _ in range(2))
        assert first.tags.tolist() == again.tags.tolist()
        assert again.tags.shape == (4 if version == "10m" else 0, 3)
    assert len(built) == 2


def _source(place):
    from metarun.data import archive

    return archive.find(VERSIONS["1m"], place.folder), VERSIONS["1m"]


@pytest.mark.parametrize("name", ["value.npy", "meta.json", "user.npy"])
@pytest.mark.parametrize("damage", ["cut", "empty", "gone"])
def test_a_damaged_cache_is_written_again(name, damage, cached):
    place, built = cached
    first = movielens.read("1m", place.folder)
    (kept,) = Path(os.environ["METARUN_CACHE"]).glob(f"*/{name}")
    kept.unlink() if damage == "gone" else os.truncate(kept, kept.stat().st_size - 5 if damage == "cut" else 0)
    assert movielens.read("1m", place.folder).checksum == first.checksum
    movielens.read("1m", place.folder)
    assert len(built) == 2


def test_what_was_left_unfinished_is_swept(cached):
    place, _ = cached
    cache = Path(os.environ["METARUN_CACHE"])
    for name in ("old", "new"):
        (cache / f".unfinished-{name}").mkdir(parents=True)
    os.utime(cache / ".unfinished-old", (0, 0))
    movielens.read("1m", place.folder)
    assert [p.name for p in cache.glob(".unfinished-*")] == [".unfinished-new"]


def test_a_cache_that_cannot_be_written(cached, monkeypatch, tmp_path):
    place, _ = cached
    (tmp_path / "file").write_text("")
    with pytest.raises(MetarunError, match="set METARUN_CACHE to a folder that can be written and has room"):
        movielens.read("1m", place.folder, cache=tmp_path / "file")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(MetarunError, match=r"cannot be kept in .*cache \(No space left on device\): set METARUN_CACHE"):
        movielens.read("1m", place.folder)
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]


def test_positions_by_table_and_by_bisection(monkeypatch):
    known, ids = np.array([3, 5, 9]), np.array([9, 4, 3, 100, 5, 0], dtype=np.int32)
    for table in (2**24, 1):
        monkeypatch.setattr(columns, "TABLE", table)
        assert columns.positions(ids, known).tolist() == [2, -1, 0, -1, 1, -1]


def test_of_many_jobs_one_parses_and_the_others_wait(cached, tmp_path):
    place, built = cached
    source = movielens._find(VERSIONS["1m"], place.folder)
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda _: columns.load(source, VERSIONS["1m"], tmp_path / "shared").checksum, range(4))
        assert len(set(found)) == 1
    assert len(built) == 1
