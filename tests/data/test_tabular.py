"""Tables of the user's own: how they are cut into columns, and what is said of those that cannot be."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import numpy as np
import pytest

from metarun.data import tabular
from metarun.data.tabular import ID, NUMBER, WORDS, open_table
from metarun.errors import MetarunError

TEXT = "user,item,rating\n1,a,4\n\n2,b,3.5\n"


def table(path: Path, content: str | bytes = TEXT, **how: object) -> tabular.Table:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    given = {"separator": "auto", "encoding": "utf-8", "columns": None} | how
    return open_table(path, "dataset.path", **given)  # type: ignore[arg-type]


def cells(found: tabular.Table) -> list[list[object]]:
    kinds = {"user": ID, "item": WORDS, "rating": NUMBER}
    return [[v for chunk in found.chunks(kinds) for v in chunk[name].tolist()] for name in kinds]


GOOD = {
    "comma": TEXT,
    "tab": TEXT.replace(",", "\t"),
    "semicolon": TEXT.replace(",", ";"),
    "pipe": TEXT.replace(",", "|"),
    "crlf": TEXT.replace("\n", "\r\n"),
    "cr": TEXT.replace("\n", "\r"),
    "bom": b"\xef\xbb\xbf" + TEXT.encode(),
    "spaces": TEXT.replace(",", ", "),
    "quotes": TEXT.replace(",a", ',"a"'),
    "trailing": TEXT.replace("4\n", "4,\n"),
    "nothing behind": TEXT.rstrip("\n"),
    "a comma in quotes": TEXT.replace(",a", ',"a,;\t|"'),
}


@pytest.mark.parametrize("name", GOOD)
def test_the_same_table_written_in_many_ways(name, tmp_path):
    item = "a,;\t|" if "comma in" in name else "a"
    assert cells(table(tmp_path / "my.csv", GOOD[name])) == [["1", "2"], [item, "b"], [4.0, 3.5]]


@pytest.mark.parametrize(
    ("name", "encoding"), [("my.csv", "utf-16"), ("my.tsv", "utf-8"), ("my.csv.gz", "utf-8"), ("my.txt", "latin-1")]
)
def test_suffixes_and_encodings(name, encoding, tmp_path):
    raw = (TEXT.replace(",", "\t") if "tsv" in name else TEXT).encode(encoding)
    found = table(tmp_path / name, gzip.compress(raw) if name.endswith("gz") else raw, encoding=encoding)
    assert cells(found) == [["1", "2"], ["a", "b"], [4.0, 3.5]]
    assert found.place(1) == "line 4"


def test_ids_are_read_as_they_are_written(tmp_path):
    text = "user,item,rating\n12,a,1\n0012,a,1\n12.0,a,1\n1e1,a,1\n"
    assert cells(table(tmp_path / "my.csv", text))[0] == ["12", "0012", "12.0", "1e1"]


def test_a_file_without_a_header(tmp_path):
    text = TEXT.partition("\n")[2]
    assert cells(table(tmp_path / "my.csv", text, columns=["user", "item", "rating"]))[0] == ["1", "2"]


BAD = [
    ("", {}, "my.csv: is empty"),
    ("\n \n", {}, "my.csv: is empty"),
    (TEXT.encode("utf-16"), {}, "my.csv line 1: is UTF-16 text; set dataset.encoding=utf-16"),
    (TEXT.encode("utf-16-le"), {}, "my.csv line 1: is UTF-16 text; set dataset.encoding=utf-16"),
    (TEXT.encode() + b"3,\xe9,1\n", {}, "my.csv line 5: byte 0xe9 is not utf-8 text; set dataset.encoding"),
    (TEXT, {"encoding": "utf-0"}, "dataset.encoding=utf-0: no such encoding"),
    (TEXT.encode() + b"3,\x00,1\n", {}, "my.csv line 5: holds zero bytes"),
    (b"PK\x03\x04 a workbook", {}, "my.csv: is an Excel or zip file, not text"),
    (TEXT + "3,c\n", {}, "line 5: '3,c' has 2 fields separated by commas, but the header has 3 (user, item, rating)"),
    (TEXT + "3,c,1,x\n", {}, "my.csv line 5: '3,c,1,x' has 4 fields separated by commas, but the header has 3"),
    (TEXT + "3,c,good\n", {}, "my.csv line 5: column 'rating': 'good' is not a number"),
    ("user;item;rating\n1;a;4,5\n", {}, "'4,5' is not a number (decimals are written with a point)"),
    (TEXT + '3,"c,1\n4,d,1\n', {}, "my.csv line 5: a double quote is opened here and never closed"),
    ("1,2,3\n", {}, "my.csv line 1: '1,2,3' reads like data, not like names of columns"),
    (TEXT, {"columns": ["user", "item", "rating"]}, "'user,item,rating' is a header; leave out dataset.columns"),
    ("1,2,3\n", {"columns": ["user", "item"]}, "'1,2,3' has 3 fields separated by commas, but dataset.columns names 2"),
    ("word\nword\n", {}, "my.csv line 1: 'word' is not cut into columns by a comma, tab, semicolon or pipe"),
    ("1::2::3\n", {}, "my.csv line 1: is separated by '::'"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "how", "reason"), BAD, ids=[reason[:50] for *_, reason in BAD])
def test_what_is_wrong_is_said_with_its_line(content, how, reason, tmp_path):
    with pytest.raises(MetarunError) as error:
        cells(table(tmp_path / "my.csv", content, **how))
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


def test_lines_are_counted_across_chunks_and_quoted_line_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(tabular, "CHUNK", 2)
    rows = "".join(f'{n},"x\ny",1\n' for n in range(5))
    with pytest.raises(MetarunError, match="line 13: column 'rating': 'bad' is not a number"):
        cells(table(tmp_path / "my.csv", f"user,item,rating\n{rows}\n7,z,bad\n"))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gone.csv", "dataset.path=.*gone.csv: no such file. Did you mean 'gone.tsv'?"),
        ("folder.csv", "is a folder; name a file in it"),
        ("my.json", "its suffix is '.json', but what is read is .csv"),
        ("cut.csv.gz", "is no whole gzip file"),
    ],
)
def test_files_that_cannot_be_opened(name, reason, tmp_path):
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "gone.tsv").write_text(TEXT)
    (tmp_path / "my.json").write_text("{}")
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(TEXT.encode() * 1000)[:40])
    with pytest.raises(MetarunError, match=reason.replace("?", r"\?").replace("(", r"\(")):
        open_table(tmp_path / name, "dataset.path", "auto", "utf-8", None)


def test_parquet_holds_the_same(tmp_path):
    pytest.importorskip("pyarrow")
    import pandas as pd

    path = tmp_path / "my.parquet"
    day = pd.to_datetime(["2015-03-14T00:00:01", None])
    frame = pd.DataFrame({"user": [2**60 + 1, 2], "item": ["a", None], "rating": [4.0, 3.5], "day": day})
    frame.to_parquet(path)
    found = open_table(path, "dataset.path", "auto", "utf-8", None)
    (chunk,) = found.chunks({"user": ID, "item": ID, "rating": NUMBER, "day": NUMBER})
    assert [part.tolist() for part in tabular.coded(chunk["user"])] == [[0, 1], [str(2**60 + 1), "2"]]
    assert [part.tolist() for part in tabular.coded(chunk["item"])] == [[0, -1], ["a"]]
    assert chunk["rating"].tolist() == [4.0, 3.5]
    assert chunk["day"].tolist()[0] == 1426291201
    assert np.isnan(chunk["day"].tolist()[1])
    assert found.place(1) == "row 2"
    with pytest.raises(MetarunError, match=r"dataset\.separator=tab: is for text"):
        open_table(path, "dataset.path", "tab", "utf-8", None)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(MetarunError, match="is no whole Parquet file"):
        open_table(path, "dataset.path", "auto", "utf-8", None)


def test_parquet_without_pyarrow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "my.parquet").write_bytes(b"PAR1")
    with pytest.raises(MetarunError, match=r"needs pyarrow: pip install pyarrow"):
        open_table(tmp_path / "my.parquet", "dataset.path", "auto", "utf-8", None)
