import json
import re

import pytest
from run_folders import write_run

from metarun.report.assemble import compare
from metarun.report.groups import Asked
from metarun.report.reading import read_runs, value_of


@pytest.fixture
def good(tmp_path):
    return write_run(tmp_path / "good", ["seed=1", "b.dim=8", "strategy=meta/ridge", "paths.data=x", "+new.key=a"])


def test_a_run(good):
    (run,), lines = read_runs([good])
    assert lines == []
    assert run.words == {"seed": "1", "b.dim": "8", "strategy": "meta/ridge", "new.key": "a"}
    assert value_of(run, "b.dim") == "8"
    assert value_of(run, "strategy") == "meta/ridge"
    assert value_of(run, "nothing") == "(default)"


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda folder: (folder / "summary.json").unlink(), "not finished: "),
        (lambda folder: (folder / "summary.json").write_text('{"name": "to'), "cannot read "),
        (lambda folder: (folder / "summary.json").write_text("[]"), "holds no summary"),
        (lambda folder: (folder / "summary.json").write_text('{"name": "toy"}'), "older format: .* has no run_id, "),
        (lambda folder: (folder / "summary.json").write_text('{"format": 1}'), "incomplete: .* has no name, "),
        (lambda folder: (folder / "summary.json").write_text('{"format": 2}'), "newer format: .* reads up to 1"),
        (lambda folder: (folder / "summary.json").write_text('{"format": "x"}'), "newer format: .* format x"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "cannot read .*manifest.json"),
        (lambda folder: (folder / "manifest.json").write_text('{"config": []}'), "holds no manifest"),
    ],
)
def test_a_broken_folder_does_not_end_the_others(good, tmp_path, spoil, told):
    spoil(write_run(tmp_path / "bad"))
    runs, (line,) = read_runs([tmp_path / "bad", good])
    assert [run.name for run in runs] == ["good"]
    assert str(tmp_path / "bad") in line
    assert re.search(told, line)


def test_a_check_that_it_runs_is_no_result_beside_others(good, tmp_path):
    folder = write_run(tmp_path / "smoke", ["trainer=smoke"])
    found = json.loads((folder / "summary.json").read_text())
    found["setting"]["cut short by"] = "trainer.steps=2"
    (folder / "summary.json").write_text(json.dumps(found))
    runs, (line,) = read_runs([folder, good])
    assert [run.name for run in runs] == ["good"]
    assert line == f"no result: {folder} (cut short by trainer.steps=2); left out"
    assert len(read_runs([folder])[0]) == 1, "it can be looked at alone"


def test_a_summary_from_before_formats_were_counted_is_read(tmp_path):
    folder = write_run(tmp_path / "old")
    found = json.loads((folder / "summary.json").read_text())
    del found["format"]
    (folder / "summary.json").write_text(json.dumps(found))
    assert len(read_runs([folder])[0]) == 1


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 cut short"])
def test_broken_scores_leave_one_run_out(good, tmp_path, content):
    bad = write_run(tmp_path / "bad", ["seed=2"]) / "task_scores.npz"
    bad.unlink()
    if content is not None:
        bad.write_bytes(content)
    runs, _ = read_runs([tmp_path / "bad", good])
    found, (line,) = compare(runs, Asked())
    assert line.startswith(f"left out: cannot read the task scores in {bad}")
    assert [run.name for group in found.groups for run in group.runs] == ["good"]
