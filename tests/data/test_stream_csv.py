"""A stream of the user's own: read as it stands, refused by its line, kept for the next run."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_run import attempt, folder_of

from metarun import config, options
from metarun.data import kept
from metarun.data.streams import own
from metarun.datasets.stream_csv import StreamCsv
from metarun.errors import MetarunError

ROWS = "day,a,b,label\n2024-01-01,1,7,no\n2024-01-02,2,7,\n2024-01-05,3.5,7,yes\n2024-01-05,4,7,late\n"
VIEW: dict[str, Any] = {
    "opening": 0, "standardise": True, "lags": [], "supports": [1], "queries": 1, "test_tasks": 2, "split_seed": 0,
}  # fmt: skip


def stream(folder: Path, text: str = ROWS, name: str = "rows.csv", **given: Any) -> StreamCsv:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    fields = {"label": "label", "labels": "classes", "features": None, "time": None, "separator": "auto"}
    fields |= {"encoding": "utf-8", "columns": None, **VIEW, **given}
    return StreamCsv(str(path), **fields)


def test_rows_are_read_in_their_order_and_classes_by_first_appearance(tmp_path: Path) -> None:
    data = stream(tmp_path)
    found = data.found
    assert found.x.tolist() == [[1, 7], [2, 7], [3.5, 7], [4, 7]]
    assert found.y.tolist() == [0, -1, 1, 2], "an empty label never comes; the last class comes late"
    assert (found.names, found.classes, found.name) == (["a", "b"], ["no", "yes", "late"], "rows.csv")
    assert data.left_out() == ["rows.csv: columns day are no features"]
    assert stream(tmp_path, time="day").found.x.shape == (4, 2), "a gap in time and a tie are allowed"


def test_labels_may_be_numbers(tmp_path: Path) -> None:
    text = ROWS.replace("no", "1.5").replace("yes", "-2").replace("late", "0")
    found = stream(tmp_path, text, labels="numbers").found
    assert found.classes == []
    np.testing.assert_array_equal(found.y, [1.5, np.nan, -2, 0])


@pytest.mark.parametrize(
    ("text", "given", "line"),
    [
        (ROWS, {"label": "labell"}, "dataset.label=labell: .*no such column. Did you mean 'label'?"),
        (ROWS, {"features": ["a", "day"]}, "line 2: column 'day'"),
        (ROWS.replace("3.5", "x"), {}, "line 4: column 'a'"),
        (ROWS.replace("3.5", ""), {}, "line 4: column 'a'"),
        (ROWS.replace("2024-01-02", "2023-01-02"), {"time": "day"}, "line 3: column 'day' goes back in time"),
        (ROWS.replace("2024-01-02", "soon"), {"time": "day"}, "line 3: column 'day' is no time"),
        ("day,label\nmon,a\ntue,b\n", {}, "so there is no feature"),
        ("a,label\n", {}, "has a header, but no rows"),
        ("a,label\n1,x\n2,x\n", {}, "has 1 class, at least two are needed"),
        (ROWS, {"opening": 4}, "dataset.opening=4: rows.csv has 4 rows"),
    ],
)
def test_what_is_wrong_is_named_by_its_line(text: str, given: dict[str, Any], line: str, tmp_path: Path) -> None:
    with pytest.raises(MetarunError, match=line):
        _ = stream(tmp_path, text, **given).found


def test_labels_that_look_like_numbers_say_so(tmp_path: Path) -> None:
    text = "a,label\n" + "".join(f"1,{row}\n" for row in range(own.MOST + 1))
    with pytest.raises(MetarunError, match=r"dataset\.labels=numbers"):
        _ = stream(tmp_path, text).found


def test_disorder_is_found_across_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from metarun.data import tabular

    monkeypatch.setattr(tabular, "CHUNK", 2)
    later = ROWS.replace("2024-01-05,3.5", "2024-01-01,3.5").replace("2024-01-05,4", "2024-01-02,4")
    with pytest.raises(MetarunError, match="line 4: column 'day' goes back"):
        _ = stream(tmp_path, later, time="day").found


def test_a_file_is_parsed_once_and_again_where_it_or_the_columns_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "default_cache", lambda: tmp_path / "cache")
    calls, parse = [], own.parse
    monkeypatch.setattr(own, "parse", lambda *given: calls.append(1) or parse(*given))
    first = stream(tmp_path).found
    again = stream(tmp_path).found
    assert len(calls) == 1
    assert torch.equal(first.x, again.x)
    assert first.checksum == again.checksum
    assert stream(tmp_path, features=["b"]).found.names == ["b"]
    assert stream(tmp_path, ROWS + "2024-01-09,9,9,no\n").found.checksum != first.checksum
    assert len(calls) == 3


def test_the_line_of_its_file_runs_and_names_labels_that_do_not_fit(tmp_path: Path) -> None:
    draws = np.random.default_rng(0)
    x = draws.normal(size=(1500, 2))
    text = "a,b,label\n" + "".join(f"{a:.3f},{b:.3f},{'up' if a > b else 'down'}\n" for a, b in x)
    (tmp_path / "rows.csv").write_text(text, encoding="utf-8")
    first = options.find("dataset/stream_csv").read_text(encoding="utf-8").splitlines()[0]
    words = shlex.split(first.removeprefix("# metarun ").replace("rows.csv", f"{tmp_path}/rows.csv"))
    assert attempt([*words, f"paths.outputs={tmp_path}/outputs"], tmp_path) == 0
    found = json.loads((folder_of(tmp_path) / "summary.json").read_text(encoding="utf-8"))["stream"]
    (rows,) = found.values()
    assert rows["adaptive/fixed_share"]["accuracy"]["value"] > 0.9
    with pytest.raises(MetarunError, match="objective=squared"):
        config.compose([*words, "dataset.labels=numbers"])
