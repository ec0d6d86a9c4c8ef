"""Whatever is wrong in the files is named with file and line, and nothing is merged or dropped."""

from __future__ import annotations

import pytest

from metarun.data import movielens, parse
from metarun.data.versions import VERSIONS
from metarun.errors import MetarunError

LAYOUTS = {"latest-small": "ratings.csv", "100k": "u.data", "1m": "ratings.dat", "10m": "ratings.dat"}


BAD = [
    (["1", "10", "5"], "is malformed, it must read"),
    (["1", "10", "5", "978300200", "9"], "is malformed, it must read"),
    (["1", "10", "5", "978300200", "x"], "is malformed, it must read"),
    (["x", "10", "5", "978300200"], "the user id 'x' is not a whole number"),
    (["1.5", "10", "5", "978300200"], "the user id '1.5' is not a whole number"),
    (["", "10", "5", "978300200"], "the user id '' is not a whole number"),
    (["1", "-10", "5", "978300200"], "the item id '-10' is not a whole number"),
    (["1", "99999999999", "5", "978300200"], "the item id '99999999999' is not a whole number"),
    (["1", "10", "", "978300200"], "the rating '' is not a number"),
    (["1", "10", "good", "978300200"], "the rating 'good' is not a number"),
    (["1", "10", "nan", "978300200"], "the rating 'nan' is not a number"),
    (["1", "10", "0", "978300200"], "the rating 0 lies outside the scale of"),
    (["1", "10", "5.5", "978300200"], "the rating 5.5 lies outside the scale of"),
    (["1", "10", "-1", "978300200"], "the rating -1 lies outside the scale of"),
    (["1", "10", "2.25", "978300200"], "the rating 2.25 lies outside the scale of"),
    (["1", "10", "5", "yesterday"], "the time 'yesterday' is not a whole number of seconds"),
    (["1", "10", "5", "-5"], "the time '-5' is not a whole number of seconds"),
    (["1", "10", "5", "1.5"], "the time '1.5' is not a whole number of seconds"),
    (["1", "11", "5", "978300200"], "movie 11 is not in"),
    (["2", "10", "5", "978300200"], "user 2 rated movie 10 before, on line"),
]


@pytest.mark.parametrize("zipped", [False, True], ids=["folder", "zip"])
@pytest.mark.parametrize(("fields", "reason"), BAD, ids=[" ".join(row) for row, _ in BAD])
@pytest.mark.parametrize("version", LAYOUTS)
def test_a_bad_row_is_named_by_file_and_line(version, fields, reason, zipped, place, official):
    layout = VERSIONS[version].layout
    files = official.files(version)
    lines = files[layout.ratings].decode().splitlines()
    line = 3 + (layout.header is not None)
    lines[line - 1] = layout.separator.join(fields)
    files[layout.ratings] = ("\n".join(lines) + "\n").encode()
    home = (place.zipped if zipped else place.unpacked)(version, files)
    where = f"{home}:{VERSIONS[version].folders[0]}/{layout.ratings}" if zipped else f"{home / layout.ratings}"
    with pytest.raises(MetarunError) as error:
        movielens.read(version, place.folder)
    assert str(error.value).startswith(f"{where} line {line}: ")
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("row", "reason"), [("x,10,a,1", "the id 'x' is not a whole number"), ("1,11,a,1", "movie 11 is not in movies.csv")]
)
def test_a_bad_tag_is_named_by_file_and_line(row, reason, place, official):
    files = official.files("latest-small")
    files["tags.csv"] += f"{row}\n".encode()
    home = place.unpacked("latest-small", files)
    with pytest.raises(MetarunError) as error:
        movielens.read("latest-small", place.folder)
    assert str(error.value).startswith(f"{home}/tags.csv line 6: {reason}")


def test_the_words_of_a_scale_error(place, official):
    files = official.files("1m")
    files["ratings.dat"] += b"7::10::3.5::978300500\n"
    home = place.unpacked("1m", files)
    with pytest.raises(MetarunError) as error:
        movielens.read("1m", place.folder)
    assert str(error.value) == (
        f"{home}/ratings.dat line 6: the rating 3.5 lies outside the scale of 1m: 1 to 5 in steps of 1."
    )


def test_duplicates_are_counted_and_not_merged(place, official):
    files = official.files("latest-small")
    files["ratings.csv"] += b"\n1,10,3.0,978300999\n2,30,3.0,978300100\n1,10,5.0,978300200\n"  # one empty line
    home = place.unpacked("latest-small", files)
    with pytest.raises(MetarunError) as error:
        movielens.read("latest-small", place.folder)
    assert str(error.value) == (
        f"{home}/ratings.csv line 8: user 1 rated movie 10 before, on line 4; 3 such rows in all. "
        "Keep one rating for each user and movie."
    )


def test_bad_rows_in_a_later_chunk_keep_their_line(place, official, monkeypatch):
    monkeypatch.setattr(parse, "CHUNK", 2)
    files = official.files("100k")
    files["u.data"] += b"7\t10\t6\t978300500\n"
    place.unpacked("100k", files)
    with pytest.raises(MetarunError, match=r"u\.data line 6: the rating 6 lies outside"):
        movielens.read("100k", place.folder)
    files["u.data"] = official.files("100k")["u.data"] + b"7\t99\t5\t978300500\n"
    place.unpacked("100k", files)
    with pytest.raises(MetarunError, match=r"u\.data line 6: movie 99 is not in u\.item\."):
        movielens.read("100k", place.folder)


OTHER_FILES = [
    (
        "latest-small",
        "movies.csv",
        b"movieId,title\n",
        "line 1: the header is 'movieId,title', but must be 'movieId,title,genres'",
    ),
    (
        "latest-small",
        "ratings.csv",
        b"user,item\n",
        "line 1: the header is 'user,item', but must be 'userId,movieId,rating,timestamp'",
    ),
    ("latest-small", "ratings.csv", b"userId,movieId,rating,timestamp\n", "holds no ratings"),
    ("latest-small", "ratings.csv", b"", "line 1: the header is ''"),
    (
        "latest-small",
        "movies.csv",
        b"movieId,title,genres\n10,A,Drama\n10,B,Drama\n",
        "line 3: id 10 occurs a second time",
    ),
    ("latest-small", "movies.csv", b"movieId,title,genres\n10,A\n", "line 2: it has 2 fields instead of 3"),
    (
        "latest-small",
        "movies.csv",
        b"movieId,title,genres\nten,A,Drama\n",
        "line 2: the id 'ten' is not a whole number",
    ),
    ("latest-small", "movies.csv", b"movieId,title,genres\n10,A\xe9,Drama\n", "line 2: it is not utf-8 text"),
    ("latest-small", "movies.csv", b"movieId,title,genres\n", "is empty"),
    ("latest-small", "tags.csv", b"userId,movieId,tag,timestamp\n1,99,x,1\n", "line 2: movie 99 is not in movies.csv"),
    ("1m", "ratings.dat", b"", "holds no ratings"),
    ("1m", "movies.dat", b"10::A (1990)\n", "line 1: it has 2 fields instead of 3"),
    ("1m", "users.dat", b"1::X::1::10::48067\n", "line 1: the gender 'X' is neither F nor M"),
    ("1m", "users.dat", b"1::F::2::10::48067\n", "line 1: the age '2' is not a number of 1, 18, 25, 35, 45, 50, 56"),
    ("1m", "users.dat", b"1::F::1::21::48067\n", "line 1: the occupation '21' is not a number from 0 to 20"),
    ("100k", "u.user", b"1|x|F|writer|1\n", "line 1: the age 'x' is not a number"),
    ("100k", "u.item", b"10|A|01-Jan-1995||u" + b"|2" * 19 + b"\n", "line 1: every genre flag must be 0 or 1"),
]


@pytest.mark.parametrize(("version", "name", "content", "reason"), OTHER_FILES)
def test_what_is_wrong_in_other_files(version, name, content, reason, place, official):
    home = place.unpacked(version, official.files(version) | {name: content})
    with pytest.raises(MetarunError) as error:
        movielens.read(version, place.folder)
    assert str(error.value).startswith(f"{home / name} ")
    assert reason in str(error.value)


def test_a_user_missing_in_the_users_file(place, official):
    files = official.files("1m")
    files["users.dat"] = b"".join(files["users.dat"].splitlines(keepends=True)[:2])
    place.unpacked("1m", files)
    with pytest.raises(MetarunError, match=r"ratings\.dat line 5: user 7 is not in users\.dat\."):
        movielens.read("1m", place.folder)
