"""Downloads from a server on loopback: verified, atomic, and loud when they fail."""

from __future__ import annotations

import dataclasses
import functools
import http.server
import socket
import threading
import time

import pytest

from metarun.data import download, movielens, versions
from metarun.data.versions import VERSIONS
from metarun.errors import MetarunError


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *given):
        pass

    def send_header(self, keyword, value):
        cut = keyword == "Content-Length" and self.path.endswith("cut.zip")
        super().send_header(keyword, "1000000" if cut else value)


@pytest.fixture
def home(place, tmp_path, monkeypatch):
    """The folder that a server on loopback offers in place of the official home."""
    folder = tmp_path / "home"
    folder.mkdir()
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setattr(versions, "HOME", f"http://127.0.0.1:{server.server_port}/")
        yield folder
        server.shutdown()


@pytest.fixture
def nobody(place, monkeypatch):
    """A loopback port that refuses connections stands for the official home."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setattr(versions, "HOME", f"http://127.0.0.1:{port}/")


def offer(place, home, version, official, monkeypatch, md5=None):
    path = place.zipped(version, inside=home)
    found = official.md5(path)
    path.with_name(path.name + ".md5").write_text(f"MD5 ({path.name}) = {md5 or found}\n", encoding="ascii")
    if VERSIONS[version].md5:
        monkeypatch.setitem(VERSIONS, version, dataclasses.replace(VERSIONS[version], md5=md5 or found))
    return found


@pytest.mark.parametrize("version", ["latest-small", "1m"])
def test_a_version_that_is_not_there_is_fetched_once(version, place, home, official, monkeypatch, capsys):
    md5 = offer(place, home, version, official, monkeypatch)
    assert movielens.read(version, place.folder).n_users == 3
    archive = place.folder / VERSIONS[version].archive
    assert sorted(p.name for p in place.folder.iterdir()) == [archive.name, f"{archive.name}.md5"]
    assert archive.with_name(archive.name + ".md5").read_text() == f"MD5 ({archive.name}) = {md5}\n"
    assert archive.stat().st_mode & 0o777 == 0o644
    assert f"Downloading {VERSIONS[version].url}" in capsys.readouterr().err
    assert movielens.fetch(version, place.folder) == archive
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("version", ["latest-small", "1m"])
def test_a_wrong_checksum_leaves_nothing_behind(version, place, home, official, monkeypatch):
    md5 = offer(place, home, version, official, monkeypatch, md5="0" * 32)
    with pytest.raises(MetarunError, match=f"arrived with the wrong checksum: MD5 {md5} instead of {'0' * 32}"):
        movielens.read(version, place.folder)
    assert list(place.folder.iterdir()) == []


def test_the_error_says_how_to_place_the_file_by_hand(place, nobody):
    with pytest.raises(MetarunError) as error:
        movielens.read("1m", place.folder)
    url = VERSIONS["1m"].url
    assert str(error.value).startswith(f"MovieLens 1m is not there, and {url} cannot be downloaded (")
    assert str(error.value).endswith(
        f"To place it by hand: download {url} and put ml-1m.zip into {place.folder}, "
        "or set METARUN_DATA to the folder that has it."
    )
    assert list(place.folder.iterdir()) == []


def test_a_file_the_server_does_not_have(place, home):
    with pytest.raises(MetarunError, match=r"ml-1m\.zip cannot be downloaded \(HTTP Error 404: File not found\)\."):
        movielens.fetch("1m", place.folder)
    assert list(place.folder.iterdir()) == []


def test_a_download_that_is_cut_off(place, home):
    (home / "cut.zip").write_bytes(b"x" * 10)
    with pytest.raises(MetarunError, match=r"cut\.zip was cut off: 10 of 1000000 bytes arrived"):
        download.download(f"{versions.HOME}cut.zip", place.folder / "cut.zip", "0" * 32)
    assert list(place.folder.iterdir()) == []


def test_a_file_url(place, official, tmp_path):
    path = place.zipped("100k", inside=tmp_path)
    target = place.folder / "deep" / "ml-100k.zip"
    assert download.download(path.as_uri(), target, official.md5(path)) == target
    assert target.read_bytes() == path.read_bytes()


def test_a_folder_that_cannot_be_written(place, official, tmp_path):
    path = place.zipped("100k", inside=tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(MetarunError, match=r"cannot be kept in .*file.*: set METARUN_DATA to a folder that can"):
        download.download(path.as_uri(), tmp_path / "file" / "ml-100k.zip", official.md5(path))


def test_auto_prefers_what_is_there(place, nobody, capsys):
    place.unpacked("latest-small")
    assert movielens.resolve("auto", place.folder) == "latest-small"
    assert capsys.readouterr().err == ""
    assert movielens.read("auto", place.folder).name == "movielens/latest-small"


def test_auto_downloads(place, home, official, monkeypatch):
    offer(place, home, "latest-small", official, monkeypatch)
    assert movielens.resolve("auto", place.folder) == "latest-small"
    assert movielens.resolve("auto", place.folder) == "latest-small"


def test_auto_is_loud_about_the_sample(place, nobody, capsys):
    assert movielens.resolve("auto", place.folder) == "sample"
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("*** NO REAL DATA: running on movielens/sample (synthetic), no evidence about real ratings.")
    assert "METARUN_DATA" in line


def test_auto_does_not_hide_damaged_data(place, nobody, official):
    files = official.files("latest-small")
    del files["movies.csv"]
    place.unpacked("latest-small", files)
    with pytest.raises(MetarunError, match=r"has no movies\.csv"):
        movielens.resolve("auto", place.folder)


def test_auto_gives_up_on_a_silent_server(place, monkeypatch, capsys):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(versions, "HOME", f"http://127.0.0.1:{silent.getsockname()[1]}/")
        monkeypatch.setattr(movielens, "AUTO_SECONDS", 0.2)
        start = time.monotonic()
        assert movielens.resolve("auto", place.folder) == "sample"
        assert time.monotonic() - start < 2
    assert "did not arrive within 0.2 s" in capsys.readouterr().err


def test_nothing_is_written_after_giving_up(place, official, tmp_path):
    path, stop = place.zipped("100k", inside=tmp_path), threading.Event()
    stop.set()
    with pytest.raises(MetarunError, match="took too long"):
        download.download(path.as_uri(), place.folder / "ml-100k.zip", official.md5(path), stop=stop)
    assert list(place.folder.iterdir()) == []
