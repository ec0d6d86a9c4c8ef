"""All versions and layouts give the same columns, features and counts."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from metarun.data import movielens, parse
from metarun.data.ratings import unknown_times
from metarun.data.versions import VERSIONS
from metarun.errors import MetarunError

LAYOUTS = {"latest-small": "ratings.csv", "100k": "u.data", "1m": "ratings.dat", "10m": "ratings.dat"}


@pytest.mark.parametrize("form", ["folder", "zip", "zip in folder", "the folder itself"])
@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_and_form_gives_the_same_columns(version, form, place, official):
    folder = place.folder
    if form == "folder":
        place.unpacked(version)
    elif form == "zip":
        place.zipped(version)
    elif form == "zip in folder":
        place.zipped(version, inside=folder / VERSIONS[version].folders[0])
    else:
        folder = place.unpacked(version)
    ratings = movielens.read(version, folder)
    rows = [official.rows[i] for i in official.order]
    assert ratings.name == f"movielens/{version}"
    assert not ratings.synthetic
    assert ratings.scale == VERSIONS[version].scale
    assert ratings.user_ids.tolist() == [1, 2, 7]
    assert ratings.item_ids.tolist() == [10, 20, 30, 31]  # 20 has no rating and stays
    assert ratings.user_ids[ratings.user].tolist() == [int(row[0]) for row in rows]
    assert ratings.item_ids[ratings.item].tolist() == [int(row[1]) for row in rows]
    assert ratings.value.tolist() == [float(row[2]) for row in rows]
    assert ratings.time.tolist() == [int(row[3]) for row in rows]
    assert ratings.offsets.tolist() == [0, 2, 4, 5]
    assert ratings.titles == [title for _, title, _ in official.movies]
    types = [ratings.user, ratings.item, ratings.value, ratings.time, ratings.offsets, ratings.item_features]
    assert [a.dtype.name for a in types] == ["int32", "int32", "float32", "int64", "int64", "float32"]
    assert len(ratings.checksum) == 64


@pytest.mark.parametrize("version", VERSIONS)
def test_side_information(version, place):
    place.unpacked(version)
    ratings = movielens.read(version, place.folder)
    items = {name: ratings.item_features[:, j] for j, name in enumerate(ratings.item_feature_names)}
    assert items["genre=Comedy"].tolist() == [1, 0, 0, 0]
    assert items["genre=Thriller"].tolist() == [0, 0, 1, 0]
    assert items["decade=2000s"].tolist() == [1, 0, 0, 0]
    years = np.array([2001, 1987, 1995])
    assert items["year"] == pytest.approx([*((years - years.mean()) / years.std()), 0])
    assert not any("no genres" in name or "unknown" in name for name in items)
    has_tags, has_users = VERSIONS[version].layout.tags is not None, VERSIONS[version].layout.users is not None
    assert ("tag=funny" in items) == has_tags
    assert not any(values.any() for name, values in items.items() if name.startswith("tag="))  # who may be seen?
    given = [(int(u), int(i), ratings.item_feature_names[column]) for u, i, column in ratings.tags]
    # "funny" and "Funny " are one tag
    expected = [(0, 0, "tag=funny"), (1, 0, "tag=funny"), (1, 2, 'tag=a "quoted", tag'), (2, 2, "tag=spy")]
    assert sorted(given) == sorted(expected if has_tags else [])
    assert (ratings.tags.dtype.name, ratings.tags.shape) == ("int32", (len(given), 3))
    assert len(ratings.user_feature_names) == ratings.user_features.shape[1]
    assert bool(ratings.user_feature_names) == has_users
    if has_users:
        users = {name: ratings.user_features[:, j].tolist() for j, name in enumerate(ratings.user_feature_names)}
        assert (users["gender=F"], users["gender=M"]) == ([1, 0, 0], [0, 1, 1])
        assert (users["age=under 18"], users["age=56+"]) == ([1, 0, 0], [0, 1, 0])
        assert users["occupation=writer" if version == "100k" else "occupation=self-employed"] == [0, 1, 0]
        assert ratings.user_features.sum(axis=1).tolist() == [3, 3, 3]


def test_chunks_change_nothing(place, monkeypatch):
    place.unpacked("10m")
    whole = movielens.read("10m", place.folder)
    monkeypatch.setattr(parse, "CHUNK", 2)
    assert movielens.read("10m", place.folder).checksum == whole.checksum


@pytest.mark.parametrize("version", LAYOUTS)
def test_zero_and_missing_times_stay_with_time_zero(version, place, official, monkeypatch):
    monkeypatch.setattr(parse, "CHUNK", 2)
    rows = [(u, i, r, {"1": "0", "2": ""}.get(u, t)) for u, i, r, t in official.rows]
    place.unpacked(version, official.files(version, rows))
    ratings = movielens.read(version, place.folder)
    assert ratings.time.tolist() == [0, 0, 0, 0, 978300400]
    assert unknown_times(ratings) == 4
    assert any("known times: 20.0 %" in line for line in movielens.check(version, place.folder))


def test_windows_line_ends_and_a_byte_order_mark_are_read(place, official):
    files = {k: b"\xef\xbb\xbf" + v.replace(b"\n", b"\r\n") for k, v in official.files("latest-small").items()}
    place.unpacked("latest-small", files)
    read = movielens.read("latest-small", place.folder)
    assert read.titles[0] == "Amélie, the (2001)"
    place.unpacked("latest-small")
    assert movielens.read("latest-small", place.folder).checksum == read.checksum


def test_a_user_without_ratings_is_left_out(place, official):
    files = official.files("1m")
    files["users.dat"] += b"9::F::35::3::1\n"
    place.unpacked("1m", files)
    ratings = movielens.read("1m", place.folder)
    assert ratings.user_ids.tolist() == [1, 2, 7]
    assert ratings.user_features.shape[0] == 3


def test_tags_count_once_and_only_of_users_with_ratings(place, official):
    place.unpacked("latest-small")
    plain = movielens.read("latest-small", place.folder)
    files = official.files("latest-small")
    files["tags.csv"] += b"1,10,FUNNY,9\n9,20,funny,9\n"  # 9 has no ratings
    place.unpacked("latest-small", files)
    ratings = movielens.read("latest-small", place.folder)
    assert ratings.tags.tolist() == plain.tags.tolist()
    files["tags.csv"] += b"1,20,funny,9\n"
    place.unpacked("latest-small", files)
    ratings = movielens.read("latest-small", place.folder)
    assert len(ratings.tags) == len(plain.tags) + 1
    assert ratings.checksum != plain.checksum


@pytest.mark.parametrize("users", ["1-1", "2-6", "7-7", "2-7"])
def test_a_range_of_users_keeps_their_tags(users, place):
    place.unpacked("10m")
    whole, part = (movielens.read("10m", place.folder, users=kept) for kept in (None, users))
    low, high = map(int, users.split("-"))
    ids = whole.user_ids[whole.tags[:, 0]]
    expected = whole.tags[(ids >= low) & (ids <= high), 1:]
    assert len(expected)
    assert part.tags[:, 1:].tolist() == expected.tolist()
    assert part.user_ids[part.tags[:, 0]].tolist() == [u for u in ids if low <= u <= high]
    assert part.tags.dtype.name == "int32"


def test_a_range_of_users(place):
    place.unpacked("1m")
    whole, part = movielens.read("1m", place.folder), movielens.read("1m", place.folder, users="2-6")
    assert part.name == "movielens/1m (users 2-2)"
    assert part.checksum != whole.checksum
    assert part.checksum == movielens.read("1m", place.folder, users="2-3").checksum
    assert part.user.tolist() == [0, 0]
    assert part.offsets.tolist() == [0, 2]
    assert part.item_ids.tolist() == whole.item_ids.tolist()
    assert part.user_features.tolist() == whole.user_features[1:2].tolist()
    assert movielens.read("1m", place.folder, users="1-2999").checksum == whole.checksum


@pytest.mark.parametrize(
    ("users", "reason"),
    [
        ("all", "dataset.users=all is not a range of user ids: write dataset.users=1-2999, or null for all."),
        ("9-3", "dataset.users=9-3 is not a range of user ids: write dataset.users=1-2999, or null for all."),
        ("8-9", "dataset.users=8-9 keeps nobody: the user ids of movielens/1m go from 1 to 7."),
    ],
)
def test_a_wrong_range_of_users(users, reason, place):
    place.unpacked("1m")
    with pytest.raises(MetarunError) as error:
        movielens.read("1m", place.folder, users=users)
    assert str(error.value) == reason


def test_an_unknown_version_and_a_missing_folder(place, monkeypatch):
    with pytest.raises(MetarunError, match=r"^dataset\.version=25 does not exist: choose auto, .*, sample\. Did you"):
        movielens.read("25", place.folder)
    gone = place.folder / "gone"
    for version in ("1m", "auto"):
        with pytest.raises(MetarunError, match=f"^The data folder {gone} does not exist: .* paths.data"):
            movielens.read(version, gone)
    monkeypatch.setenv("METARUN_DATA", str(gone))
    with pytest.raises(MetarunError, match=f"^The data folder {gone} does not exist: .* METARUN_DATA"):
        movielens.read("1m")


def test_the_environment_names_the_folder(place, monkeypatch):
    place.unpacked("100k")
    monkeypatch.setenv("METARUN_DATA", str(place.folder))
    assert movielens.read("100k").n_users == 3


def test_check_says_what_is_there(place):
    path = place.zipped("1m")
    lines = movielens.check("1m", place.folder)
    assert lines[0] == f"movielens/1m: {path}"
    assert "users: 3 with 30 features" in lines
    assert "counts: NOT the official 1,000,209 ratings, 6,040 users, 3,883 items" in lines
    assert lines[-1].endswith("NOT the official c4d9eecfca2ab87c1945afe126590906")
    assert movielens.check("sample")[0].startswith("movielens/sample (synthetic)")
    with pytest.raises(MetarunError, match=r"no MovieLens version 'lastest-small'.*Did you mean 'latest-small'"):
        movielens.check("lastest-small")


def test_a_plain_c_locale_reads_titles(place):
    for version in ("latest-small", "1m"):
        place.unpacked(version)
    code = (
        "import sys; from pathlib import Path; from metarun.data import columns, movielens; columns.SMALL = 0\n"
        "for v in ('latest-small', '1m'):\n"
        "    for _ in range(2): print(ascii(movielens.read(v, Path(sys.argv[1])).titles[0]))"
    )
    env = os.environ | {"LANG": "C", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    given = [sys.executable, "-W", "error", "-c", code, str(place.folder)]
    out = subprocess.run(given, env=env, capture_output=True, text=True, timeout=60, check=True).stdout
    assert out.splitlines() == ["'Am\\xe9lie, the (2001)'"] * 4


real = pytest.mark.skipif("METARUN_DATA" not in os.environ, reason="METARUN_DATA names no folder with real data")


@real
@pytest.mark.parametrize(
    ("version", "rows", "users", "rated"), [("latest-small", 100_836, 610, 9_724), ("1m", 1_000_209, 6_040, 3_706)]
)
def test_real_data(version, rows, users, rated, tmp_path):
    ratings = movielens.read(version, cache=tmp_path)
    assert (len(ratings.value), ratings.n_users, len(np.unique(ratings.item))) == (rows, users, rated)
    assert ratings.n_items == VERSIONS[version].items
    assert np.diff(ratings.offsets).min() == 20
    assert movielens.read(version, cache=tmp_path).checksum == ratings.checksum
    assert (np.diff(ratings.time)[np.diff(ratings.user) == 0] >= 0).all()
    assert (len(ratings.tags) > 500) == (version == "latest-small")


def test_the_list_of_versions_needs_no_heavy_import():
    code = "import sys, metarun.data.versions; print({'numpy', 'pandas', 'torch'} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True).stdout
    assert out.strip() == "set()"
