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


def test_a_broken_summary(tmp_path, console):
    (tmp_path / "summary.json").write_text("{")
    with pytest.raises(MetarunError, match="cannot read"):
        report([tmp_path], None, console)


def test_reading_runs_needs_no_torch():
    code = "import sys, metarun.report; print([m for m in ('torch', 'matplotlib', 'pandas') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
