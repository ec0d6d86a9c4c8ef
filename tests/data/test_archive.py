"""Zips: read in place, refused when damaged, never unpacked."""

from __future__ import annotations

import os
import zipfile

import pytest

from metarun.data import archive, movielens
from metarun.errors import MetarunError


def test_a_truncated_zip(place):
    path = place.zipped("1m")
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(MetarunError) as error:
        movielens.read("1m", place.folder)
    assert str(error.value).startswith(f"{path} is not a whole zip archive, it may be truncated (")
    assert str(error.value).endswith("delete it and fetch it again.")


@pytest.mark.parametrize("name", ["ratings.dat", "movies.dat"])
def test_a_zip_with_flipped_bytes(name, place, official):
    files = official.files("1m")
    files["ratings.dat"] += b"".join(b"8::%d::4::978300%03d\n" % (i, i % 900 + 100) for i in range(40, 900))
    files["movies.dat"] += b"".join(b"%d::Film (1999)::Drama\n" % i for i in range(40, 900))
    files["users.dat"] += b"8::F::35::3::1\n"
    path = place.zipped("1m", files)
    with zipfile.ZipFile(path) as whole:
        member = whole.getinfo(f"ml-1m/{name}")
    content = bytearray(path.read_bytes())
    middle = member.header_offset + 50 + member.compress_size // 2
    content[middle : middle + 8] = bytes(8)
    path.write_bytes(content)
    with pytest.raises(MetarunError, match=f"^{path}:ml-1m/{name} is damaged .*delete {path} and fetch it again"):
        movielens.read("1m", place.folder)


def test_not_a_zip(place):
    (place.folder / "ml-1m.zip").write_bytes(b"<html>404</html>")
    with pytest.raises(MetarunError, match=r"ml-1m\.zip is not a whole zip archive"):
        movielens.read("1m", place.folder)


def test_a_locked_zip(place):
    path = place.zipped("1m")
    content = bytearray(path.read_bytes())
    for sign, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # set the bit "encrypted" in every header
        start = content.find(sign)
        while start >= 0:
            content[start + at] |= 1
            start = content.find(sign, start + 4)
    path.write_bytes(content)
    with pytest.raises(MetarunError, match=r"movies\.dat is damaged \(.*password"):
        movielens.read("1m", place.folder)


def test_the_md5_file_beside_a_zip_is_believed(place, official):
    path = place.zipped("1m")
    beside = path.with_name("ml-1m.zip.md5")
    for text in (f"MD5 (ml-1m.zip) = {official.md5(path)}\n", f"{official.md5(path).upper()}  ml-1m.zip\n"):
        beside.write_text(text, encoding="ascii")
        assert movielens.read("1m", place.folder).n_users == 3
    beside.write_text("MD5 (ml-1m.zip) = c4d9eecfca2ab87c1945afe126590906\n", encoding="ascii")
    with pytest.raises(MetarunError) as error:
        movielens.read("1m", place.folder)
    assert str(error.value) == (
        f"{path} has the wrong checksum: MD5 {official.md5(path)}, but ml-1m.zip.md5 says "
        "c4d9eecfca2ab87c1945afe126590906. Delete both files and fetch it again."
    )
    beside.write_text("<html>", encoding="ascii")
    with pytest.raises(MetarunError, match=r"ml-1m\.zip\.md5 holds no MD5 checksum"):
        movielens.read("1m", place.folder)


@pytest.mark.parametrize("form", ["folder", "zip"])
@pytest.mark.parametrize("missing", ["users.dat", "movies.dat", "ratings.dat"])
def test_a_file_missing_inside(form, missing, place, official):
    files = {name: content for name, content in official.files("1m").items() if name != missing}
    home = place.unpacked("1m", files) if form == "folder" else place.zipped("1m", files)
    with pytest.raises(MetarunError) as error:
        movielens.read("1m", place.folder)
    if form == "zip" and missing == "ratings.dat":  # nothing tells in which folder of the zip the others should be
        assert str(error.value).startswith(f"{home} has no ratings.dat")
    else:
        assert str(error.value) == (
            f"{home} has no {missing}: it must hold the official files ratings.dat, movies.dat, users.dat."
        )


def test_tags_may_be_missing(place, official):
    files = official.files("latest-small")
    del files["tags.csv"]
    place.unpacked("latest-small", files)
    assert not any(name.startswith("tag=") for name in movielens.read("latest-small", place.folder).item_feature_names)


def test_members_that_point_outside_are_never_written(place):
    path = place.zipped("1m")
    with zipfile.ZipFile(path, "a") as zipped:
        for name in ("../evil.txt", "/tmp/metarun-evil.txt", "ml-1m/../../evil.txt"):
            zipped.writestr(name, "evil")
    before = sorted(place.folder.parent.rglob("*"))
    assert movielens.read("1m", place.folder).n_users == 3
    assert sorted(place.folder.parent.rglob("*")) == before
    assert not os.path.exists("/tmp/metarun-evil.txt")  # noqa: PTH110


def test_a_zip_without_a_folder_inside(place, official):
    path = place.folder / "ml-1m.zip"
    with zipfile.ZipFile(path, "w") as zipped:
        for name, content in official.files("1m").items():
            zipped.writestr(name, content)
    assert movielens.read("1m", place.folder).n_users == 3


def test_parse_md5_takes_only_32_hex_digits():
    assert archive.parse_md5("MD5 (x) = " + "AB" * 16, "x") == "ab" * 16
    with pytest.raises(MetarunError, match="x holds no MD5 checksum"):
        archive.parse_md5("ab" * 20, "x")
