"""Files made by hand: what is wrong is told with file, line and column."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from metarun.answers import sheets, written
from metarun.errors import MetarunError


def made(folder: Path, content: str | bytes, name: str = "my.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    "content",
    [
        "item,rating\n1,5\nHeat,3\n",
        "\ufeffitem,rating\r\n1,5\r\nHeat,3\r\n",
        "Rating;Item\n5;1\n3;Heat\n",
        "movieId\trating\n1\t5\n\n  Heat \t 3\n",
        'title,rating,note\n"1",5,x\n"Heat",3,\n',
        "item,rating\n1,5\nHeat,3",
    ],
)
def test_what_people_write_is_read(tmp_path: Path, content: str) -> None:
    found = sheets.read(made(tmp_path, content), ["item", "rating"])
    assert found.columns["item"] == ["1", "Heat"]
    assert found.numbers("rating").tolist() == [5, 3]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "my.csv is empty: its first line names the columns"),
        (" \n\n", "my.csv is empty"),
        ("item,rating\n", "my.csv has column names (item, rating) and no row below them"),
        ("itm,rating\n1,5\n", "says itm, rating, it should say item,rating. Did you mean 'item' where it says 'itm'?"),
        ("item,ratng\n1,5\n", "line 1: no column 'rating'"),
        ("1,5\n2,4\n", "my.csv, line 1: no column 'item'; the first line says 1, 5"),
        ("item,rating\n1,5\nMatrix, The (1999),5\n",
         "line 3: 3 cells, and the first line names 2 columns (item, rating); a title with a comma"),
        ("item,rating\n1\n", "my.csv, line 2: 1 cells"),
        ("item,rating\n1,five\n", "my.csv, line 2, column rating: 'five' is not a number"),
        ('item;rating\n1;"4,5"\n', "line 2, column rating: '4,5' is not a number"),
        ("item,rating\n1,5\n,4\n", "my.csv, line 3, column item: there is nothing"),
        ("item,rating\n1,\n", "my.csv, line 2, column rating: there is nothing"),
        ("item,rating\n1,inf\n", "'inf' is not a number"),
        ("item,rating\n1,5\nAm\u00e9lie,5\n".encode("latin-1"), "my.csv, line 3: byte 0xe9 is not UTF-8"),
        ("item,rating\n1,5\n".encode("utf-16"), "my.csv is UTF-16: save it as CSV in UTF-8"),
        (b"PK\x03\x04rest", "my.csv is a spreadsheet"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(tmp_path: Path, content: str | bytes, told: str) -> None:
    def look() -> None:
        found = sheets.read(made(tmp_path, content), ["item", "rating"])
        found.cells("item")
        found.numbers("rating")

    with pytest.raises(MetarunError) as error:
        look()
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_and_a_column_nearly_there(tmp_path: Path) -> None:
    with pytest.raises(MetarunError, match=r"cannot read .*none.csv: No such file"):
        sheets.read(tmp_path / "none.csv", ["item"])
    with pytest.raises(MetarunError, match=r"cannot read .*: Is a directory"):
        sheets.read(tmp_path, ["item"])
    path = made(tmp_path, "item,ratings\n1,5\n")
    with pytest.raises(MetarunError, match="Did you mean 'rating' where it says 'ratings'"):
        sheets.read(path, ["item"], ["rating"])  # not left out in silence
    assert "rating" not in sheets.read(made(tmp_path, "item,note\n1,5\n"), ["item"], ["rating"]).columns


def test_times_are_seconds_or_dates(tmp_path: Path) -> None:
    assert sheets.read(made(tmp_path, "item,timestamp\n1,12\n2,3.0\n"), ["item"], ["timestamp"]).times().tolist() == [
        12,
        3,
    ]
    dated = sheets.read(made(tmp_path, "item,date\n1,1970-01-02\n2,1970-01-01T00:00:05\n"), ["item"], ["timestamp"])
    assert dated.times().tolist() == [86400, 5]
    wrong = sheets.read(made(tmp_path, "item,time\n1,5\n2,noon\n"), ["item"], ["timestamp"])
    with pytest.raises(MetarunError, match="line 3, column timestamp: 'noon' is neither seconds"):
        wrong.times()


def test_parquet_comes_and_goes(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    path = tmp_path / "my.parquet"
    written.write(path, {"user": ["a", "b"], "item": [1, 2], "rating": [5.0, None]})
    found = sheets.read(path, ["user", "item"], ["rating"])
    assert found.cells("item") == [1, 2]
    with pytest.raises(MetarunError, match=r"my.parquet, row 2, column rating: there is nothing"):
        found.numbers("rating")
    path.write_bytes(b"no parquet")
    with pytest.raises(MetarunError, match="as Parquet"):
        sheets.read(path, ["item"])
    with pytest.raises(MetarunError, match="no such file"):
        sheets.read(tmp_path / "none.parquet", ["item"])


def test_without_pyarrow_the_command_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MetarunError, match=r"pip install pyarrow"):
        sheets.read(tmp_path / "my.parquet", ["item"])
    with pytest.raises(MetarunError, match="pip install"):
        written.check(tmp_path / "recs.parquet")


def test_where_nothing_can_be_written_is_told_first(tmp_path: Path) -> None:
    with pytest.raises(MetarunError, match=r"recs.xlsx: the name must end in .csv, .json, .parquet"):
        written.check(tmp_path / "recs.xlsx")
    with pytest.raises(MetarunError, match="there is no folder"):
        written.check(tmp_path / "none" / "recs.csv")
