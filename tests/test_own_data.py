"""`metarun data template` and `metarun data check --as ratings`, as a new user meets them."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from metarun import config
from metarun.cli import main

Out = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("METARUN_CONF", "METARUN_TRUST", "METARUN_DATA", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)


def commands(out: str) -> list[list[str]]:
    """The commands that the output tells to type, without `metarun`."""
    return [
        shlex.split(line.partition("metarun ")[2]) for line in out.splitlines() if ": " in line and " metarun " in line
    ]


def test_what_is_printed_can_be_typed(capsys: Out) -> None:
    assert main(["data", "template", "ratings"]) == 0
    check, run = commands(capsys.readouterr().out)
    assert config.compose(run).dataset["items"] == "items.csv"
    assert main(check) == 0
    out = capsys.readouterr().out
    for said in (
        "users: 60, ids are text from 'u001' to 'u060', 5 features",
        "items: 120, ids are whole numbers from '1' to '120', 7 features; 120 have rows",
        "feedback: explicit, ratings from 1 to 5 in steps of 1",
        "users with 40 rows (dataset.supports up to 20, dataset.queries=20): 60 of 60",
        "dataset.split: cold, cells, warm_80_20, time, stream",
    ):
        assert said in out
    for words in commands(out):
        assert config.compose([w for w in words if not w.startswith("evaluate")]).dataset.path == "ratings.csv"


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("table", ["rows", "labels: 2; ill ", "groups: 6; east 60", "as 5 numbers a row", "test: "]),
        ("texts", ["120 rows", "labels: 10; address 12", "vocabulary: "]),
    ],
)
def test_tables_and_texts_to_start_from(kind: str, said: list[str], capsys: Out) -> None:
    assert main(["data", "template", kind]) == 0
    check, run = commands(capsys.readouterr().out)
    assert main(check) == 0
    out = capsys.readouterr().out
    assert all(part in out for part in said), out
    assert commands(out) == [run]
    assert config.compose(run).dataset.path
    assert main(["data", "template", kind]) == 2


def test_nothing_is_overwritten(capsys: Out) -> None:
    Path("items.csv").write_text("mine")
    assert main(["data", "template", "ratings"]) == 2
    assert "items.csv is there already and is not overwritten" in capsys.readouterr().err
    assert sorted(p.name for p in Path().iterdir()) == ["items.csv"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["template", "rating"],
            "clips, speakers and inputs. Did you mean 'ratings'?",
        ),
        (["check", "my.csv"], "for a file of your own: metarun data check my.csv --as ratings"),
        (
            ["check", "my.csv", "--as", "ratings", "usr=x"],
            "usr=x: is no option of the data, such as dataset.user=COLUMN.",
        ),
        (["check", "my.csv", "--as", "ratings", "dataset.repeats=mean"], "not allowed, give sum | max"),
        (["check", "gone.csv", "--as", "ratings"], "dataset.path=gone.csv: no such file."),
        (
            ["check", "my.csv", "--as", "rating"],
            "metarun data check --as rating: there is only ratings, images, table, texts, clips, speakers and inputs.",
        ),
        (["check", "my.csv", "--as", "images"], "dataset.path=my.csv is a file, not a folder"),
        (["check", "1n"], "There is no MovieLens version '1n'"),
    ],
)
def test_wrong_words(words: list[str], line: str, capsys: Out) -> None:
    Path("my.csv").write_text("user,item\n1,2\n2,2\n")
    assert main(["data", *words]) == 2
    assert line in capsys.readouterr().err


def test_small_implicit_data_and_a_file_whose_name_needs_quotes(capsys: Out) -> None:
    rows = [f"{user},{item},{'buy' if item == user % 5 else 'view'}" for user in range(20) for item in range(8)]
    Path("it's (mine).csv").write_text("\n".join(["who,item,event", *rows]))
    weights = "events={view: 1, buy: 5}"
    assert main(["data", "check", "it's (mine).csv", "--as", "ratings", "user=who", weights]) == 0
    out = capsys.readouterr().out
    assert "feedback: implicit, weights from 1 to 5" in out
    assert "times: none" in out
    assert "dataset.split: cold, cells, warm_80_20; time and stream need a time for every row" in out
    assert "as in the command below: users with 7 rows (dataset.supports up to 5, dataset.queries=2): 20 of 20" in out
    (run,) = commands(out)
    assert run[0] == "+experiment=ratings_topn"
    found = config.compose(["dataset=ratings_csv", *run[1:]]).dataset
    assert found.path == "it's (mine).csv"
    assert found.events == {"view": 1, "buy": 5}


@pytest.mark.parametrize(("liked", "rows"), [(6, 6), (0, 0)])
def test_the_command_of_a_ranking_counts_the_rows_that_are_left(liked: int, rows: int, capsys: Out) -> None:
    values = [
        f"{user},{item},{5 if item < liked or user == item == 0 else 1}" for user in range(20) for item in range(60)
    ]
    Path("own.csv").write_text("\n".join(["user,item,rating", *values]))
    assert main(["data", "check", "own.csv", "--as", "ratings"]) == 0
    first, *ranked = commands(capsys.readouterr().out)
    assert not any(word.startswith("dataset.supports") for word in first)
    assert len(ranked) == (rows > 0)
    for words in ranked:
        assert {"dataset.supports=[0,1,3]", "dataset.queries=2"} <= set(words)


def test_these_verbs_do_not_import_torch() -> None:
    code = (
        "import sys; from metarun.cli import main; main(['data', 'template', 'ratings']);"
        "main(['data', 'check', 'ratings.csv', '--as', 'ratings', 'items=items.csv']);"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("table", "groups: 6; "),
        ("texts", "vocabulary: "),
        ("clips", "a clip: 1 s at 16,000 Hz, as 24 bands x 51 frames"),
        ("speakers", "speakers: 5; eve 120"),
        ("inputs", "inputs: photo in 92 % of the rows, sound in 91 % of the rows, numbers in 87 % of the rows"),
    ],
)
def test_every_template_is_read_as_it_says(kind: str, said: str, capsys: Out) -> None:
    for package in ("tokenizers", "soundfile", "PIL"):
        pytest.importorskip(package)
    assert main(["data", "template", kind]) == 0
    check, run = commands(capsys.readouterr().out)
    assert main(check) == 0
    out = capsys.readouterr().out
    assert said in out
    assert commands(out)[-1] == run
    assert main(["data", "template", kind]) == 2
    assert "is there already and is not overwritten" in capsys.readouterr().err
