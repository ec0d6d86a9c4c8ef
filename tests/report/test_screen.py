import csv
import io
import subprocess
import sys

import pytest
from rich.console import Console

from metarun.errors import MetarunError
from metarun.report import report, show
from metarun.results import write_json


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=80)


def test_the_verdict_is_the_last_line(summary, console):
    show(summary | {"warnings": ["the choice is on the edge of the grid"]}, console)
    lines = console.file.getvalue().splitlines()
    assert lines[0] == "warning: the choice is on the edge of the grid"
    assert lines[-1].startswith("meta/ridge won on validation")
    assert lines[-1].endswith("files in outputs/movielens_compare/3fa9c01e.")
    assert "\x1b" not in console.file.getvalue()


def test_every_metric_of_cold_users_the_runs_own_last(summary, console):
    show(summary, console)
    text = console.file.getvalue()
    assert 0 < text.index("MAE by support") < text.index("as in the main table") < text.index("RMSE by support")
    assert text.count("300 user-cold test users") == 2


def test_ascii_terminal(summary):
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    show(summary, Console(file=file, width=80))
    file.seek(0)
    assert "~" in file.read()


def test_one_run_in_full(summary, console, tmp_path):
    write_json(tmp_path / "a" / "summary.json", summary)
    report([tmp_path / "a"], None, console)
    assert "RMSE by support ratings, user-cold users" in console.file.getvalue()


def test_several_runs_and_csv(summary, console, tmp_path):
    other = summary | {
        "run_id": "77aa77aa",
        "winner": "meta/maml",
        "setting": {"split": "cold", "split_seed": 5, "seed": 1},
    }
    write_json(tmp_path / "a" / "summary.json", summary)
    write_json(tmp_path / "b" / "summary.json", other)
    (tmp_path / "c").mkdir()
    for name, seed in (("a", 0), ("b", 5)):
        words = [f"dataset.split_seed={seed}", "experiment=movielens_compare", f"paths.data={name}"]
        write_json(tmp_path / name / "manifest.json", {"config": {"composed": {"overrides": words}}})
    report([tmp_path / x for x in "abc"], tmp_path / "all.csv", console)
    text = console.file.getvalue()
    footer = "movielens_compare, movielens/1m, split cold, split seed 0 and 5, seed 1: runs 3fa9c01e, 77aa77aa"
    assert footer in " ".join(text.split())
    assert "\ndataset.split_seed=5\n" in text
    assert text.count("experiment=") == 0
    assert text.count("meta/maml") == 1
    assert text.count("baseline/ridge") == 2
    assert "different data or splits" in text
    assert f"not finished: {tmp_path / 'c'} (the same command takes it up)" in text
    with (tmp_path / "all.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * (6 * 13 * 2 + 2 * 16 * 4)
    chosen = [r for r in rows if r["chosen"] == "True" and r["run_id"] == "77aa77aa" and r["metric"] == "rmse"]
    assert [r["support"] for r in chosen] == ["0", "1", "3", "5", "10", "20"]
    assert float(chosen[1]["difference"]) == summary["paired"]["user-cold"]["1"]["meta/maml"]["difference"]
    assert {r["cell"] for r in rows if r["metric"] == "lift"} == {""}


def test_the_same_split_needs_no_warning(summary, console, tmp_path):
    for name in "ab":
        write_json(tmp_path / name / "summary.json", summary)
    report([tmp_path / "a", tmp_path / "b"], None, console)
    assert "different data" not in console.file.getvalue()


def test_runs_without_support_sizes_have_their_own_tables(summary, console, tmp_path):
    for name in "ab":
        write_json(tmp_path / name / "summary.json", summary | {"run_id": name * 8, "test": {}, "paired": {}})
    nobody = {
        p: {m: {k: {**e, "n": 0} for k, e in v.items()} for m, v in ms.items()} for p, ms in summary["ranking"].items()
    }
    write_json(tmp_path / "c" / "summary.json", summary | {"run_id": "c", "test": {}, "ranking": nobody})
    report([tmp_path / name for name in "abc"], None, console)
    lines = console.file.getvalue().splitlines()
    assert lines[:2] == ["aaaaaaaa", "movielens/1m: ranking of each user's own held-out ratings"]
    assert lines[lines.index("bbbbbbbb") - 1] == ""
    assert lines[lines.index("c") + 1] == "no values on test"
    assert "by support ratings" not in console.file.getvalue()


def test_runs_of_other_sizes_or_metrics_have_other_tables(summary, console, tmp_path):
    entry = {"value": 0.9, "ci95": 0.01, "n": 30}
    melu = {"test": {"user-cold": {"90": {"meta/ridge": {"rmse": entry, "mae": entry}}}}, "paired": {}}
    for name, one in {"a": summary, "b": summary | melu, "c": summary | melu | {"metric": "mae"}}.items():
        write_json(tmp_path / name / "summary.json", one | {"run_id": name * 8})
    report([tmp_path / name for name in "abc"], None, console)
    text = console.file.getvalue()
    assert text.count("\n\nRMSE of user-cold") == text.count("\n\nMAE of user-cold") == 1
    assert text.count(" 90 ") == 2
    assert "diverged" not in text


def test_a_broken_summary(tmp_path, console):
    (tmp_path / "summary.json").write_text("{")
    with pytest.raises(MetarunError, match="cannot read"):
        report([tmp_path], None, console)


def test_reading_runs_needs_no_torch():
    code = "import sys, metarun.report; print([m for m in ('torch', 'matplotlib', 'pandas') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
