"""`metarun recommend` and `metarun update` as they are typed."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import made
import pytest

from metarun.answers import screen
from metarun.cli import main

Out = pytest.CaptureFixture[str]


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "my.csv"
    path.write_text('item,rating\nalien,5\n"Matrix, The (1999)",4.5\n5,1\n')
    return path


def said(words: list[str], capsys: Out, code: int = 0) -> str:
    assert main([str(word) for word in words]) == code
    captured = capsys.readouterr()
    if code:
        lines = captured.err.splitlines()
        assert lines[0].startswith("metarun: ")
        return captured.err
    return captured.out


def test_a_table_for_a_person(run: Path, mine: Path, capsys: Out, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    out = said(["recommend", run, "--ratings", mine, "-k", "2"], capsys)
    lines = out.splitlines()
    assert lines[0] == "3 ratings taken in by ridge, films"
    assert "Blade Runner (1982)" in lines[3]
    assert "Alien" in lines[3]
    assert "Heat (1995)" in out
    assert "Emma" not in lines[3].split("Blade")[0]
    assert max(map(len, lines)) <= 80
    plain = said(["recommend", run, "--ratings", mine, "-k", "2", "--no-explain"], capsys)
    assert "moved" not in plain


def test_lists_are_ids_titles_or_files(run: Path, mine: Path, tmp_path: Path, capsys: Out) -> None:
    (tmp_path / "some.csv").write_text("item\n13\nEmma (2020)\n")

    def items(*words: str) -> list[int]:
        out = tmp_path / "recs.json"
        said(["recommend", run, "--ratings", mine, "--out", out, *words], capsys)
        return [one["item"] for one in json.loads(out.read_text())]

    assert items() == [13, 21, 8]
    assert items("--candidates", "8,13") == [13, 8]
    assert items("--candidates", str(tmp_path / "some.csv"), "--candidates", "Heat (1995)") == [13, 21, 8]
    assert items("--exclude", str(tmp_path / "some.csv")) == [21]
    assert items("--exclude", "Emma (2020)", "--exclude", "13") == [21]


def test_a_file_for_a_person(run: Path, mine: Path, tmp_path: Path, capsys: Out) -> None:
    out = tmp_path / "recs.csv"
    assert "3 recommendations in" in said(["recommend", run, "--ratings", mine, "--out", out], capsys)
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert [row["title"] for row in rows][:1] == ["Blade Runner (1982)"]
    assert set(rows[0]) == {"rank", "item", "title", "score", "because"}


def test_many_people_at_once(run: Path, tmp_path: Path, capsys: Out) -> None:
    users, out = tmp_path / "users.csv", tmp_path / "recs.csv"
    users.write_text("user,item,rating\n7,1,5\n9,5,5\n7,5,1\n9,12345,4\n3,12345,4\n7,1,4.5\n")
    assert main(["recommend", str(run), "--users", str(users), "--out", str(out), "-k", "2"]) == 0
    captured = capsys.readouterr()
    assert "6 recommendations for 3 people" in captured.out
    assert "2 of 6 rows have items that the run does not know" in captured.err
    assert "1 person has no known item and gets what the run starts from" in captured.err
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert [(row["user"], row["rank"], row["known"]) for row in rows[::2]] == [
        ("7", "1", "2"),
        ("9", "1", "1"),
        ("3", "1", "0"),
    ]
    answers = made.answers()
    for user, support in (("7", {1: 4.5, 5: 1}), ("9", {5: 5}), ("3", {})):
        wanted = [(str(one.item), round(one.score, 3)) for one in answers.recommend(support, 2)]
        assert [(row["item"], round(float(row["score"]), 3)) for row in rows if row["user"] == user] == wanted


def test_a_person_known_through_an_update(run: Path, tmp_path: Path, capsys: Out) -> None:
    (tmp_path / "new.csv").write_text("user,item,rating,timestamp\nann,1,5,2024-01-02\nann,5,1,2024-01-01\n")
    out = said(["update", run, "--ratings", tmp_path / "new.csv"], capsys)
    assert f"metarun recommend {run} --user ann" in out
    assert "2 ratings taken in" in said(["recommend", run, "--user", "ann"], capsys)


def test_a_ranking_needs_no_ratings(tmp_path: Path, capsys: Out) -> None:
    (tmp_path / "liked.csv").write_text("item\nalien\n")
    run = made.run(tmp_path / "run", ranks=True)
    out = said(["recommend", run, "--ratings", tmp_path / "liked.csv", "-k", "1"], capsys)
    assert "1 item taken in by ridge" in out
    assert "score" in out


def test_a_file_of_several_people_is_not_merged(run: Path, tmp_path: Path, capsys: Out) -> None:
    path = tmp_path / "two.csv"
    path.write_text("userId,item,rating\nu1,1,5\nu2,5,1\n")
    err = said(["recommend", run, "--ratings", path], capsys, code=2)
    assert f"two.csv has 2 people (u1, u2): use --users {path} --out FILE, or keep one person's rows" in err
    path.write_text("userId,item,rating\nu1,1,5\nu1,5,1\n")
    assert "2 ratings taken in" in said(["recommend", run, "--ratings", path], capsys)


def test_ratings_below_positive_are_told(tmp_path: Path, capsys: Out) -> None:
    run, mine = made.run(tmp_path / "run", ranks=True, positive=4.0), tmp_path / "my.csv"
    mine.write_text("user,item,rating\nu,1,5\nu,2,3\nu,5,1\n")
    note = "2 ratings below 4 are no interactions: they count as seen only"
    assert note in said(["recommend", run, "--ratings", mine], capsys)
    assert main(["recommend", str(run), "--users", str(mine), "--out", str(tmp_path / "recs.csv")]) == 0
    assert note in capsys.readouterr().err


def test_a_column_of_events_is_told(run: Path, tmp_path: Path, capsys: Out) -> None:
    ranks, mine = made.run(tmp_path / "run", ranks=True), tmp_path / "my.csv"
    mine.write_text("user,item,Event_Type\nu,1,buy\nu,2,view\n")
    for verb in ("recommend", "update"):
        assert main([verb, str(ranks), "--ratings", str(mine)]) == 0
        told = "the column 'Event_Type' is not read: every row counts once, with the weight 1"
        assert capsys.readouterr().err.strip() == told
    mine.write_text("item,rating,event\n1,5,x\n")
    assert main(["recommend", str(run), "--ratings", str(mine)]) == 0
    assert not capsys.readouterr().err


def test_nothing_left_says_why(run: Path, mine: Path, tmp_path: Path, capsys: Out) -> None:
    words = ["recommend", run, "--ratings", mine, "--candidates", "1"]
    assert "nothing is left to recommend: the person has seen all" in said(words, capsys)
    assert main([str(word) for word in [*words, "--out", tmp_path / "recs.csv"]]) == 0
    assert "nothing is left to recommend: the person has seen all" in capsys.readouterr().err


def test_a_cut_title_is_marked() -> None:
    assert screen.cut("Star Wars: Episode V - The Empire (1980)", True) == "Star Wars: Episode V…"
    assert screen.cut("Star Wars: Episode V - The Empire (1980)", False) == "Star Wars: Episode..."
    assert screen.cut("Heat (1995)", True) == "Heat"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "for whom? Give one of --ratings FILE, --user ID, --users FILE"),
        (["--ratings", "MINE", "--user", "7"], "not --ratings and --user at once"),
        (["--ratings", "none.csv"], "cannot read none.csv: No such file or directory"),
        (["--ratings", "MINE", "--out", "recs.xlsx"], "--out recs.xlsx: the name must end in .csv"),
        (["--ratings", "MINE", "--candidates", "none.csv"], "cannot read none.csv: there is no such file"),
        (["--ratings", "MINE", "--exclude", "77"], "'77' is not among the 6 items"),
        (["--ratings", "MINE", "--about", "gender"], "--about gender: write NAME=VALUE"),
        (["--ratings", "MINE", "--about", "gender=F"], "this run has no features of people"),
        (["--users", "MINE"], "give --out FILE as well"),
        (["--user", "ann"], "nobody is known yet: metarun update"),
        (["--ratings", "MINE", "-k", "0"], "-k"),
        (["--ratings", "MINE", "--ratigs", "x"], "--ratigs"),
    ],
)
def test_what_cannot_be_answered_is_told(run: Path, mine: Path, words: list[str], told: str, capsys: Out) -> None:
    typed = [str(mine) if word == "MINE" else word for word in words]
    assert told in said(["recommend", run, *typed], capsys, code=2)


def test_a_rating_off_the_scale_names_its_place(run: Path, mine: Path, capsys: Out) -> None:
    mine.write_text("item,rating\n1,5\n2,50\n")
    err = said(["recommend", run, "--ratings", mine], capsys, code=2)
    assert f"{mine}, line 3, column rating: 50 is not between 0.5 and 5, the scale of this run" in err
    mine.write_text("item,rating\n1,5\nAlien (1979),4\n")
    err = said(["recommend", run, "--ratings", mine], capsys, code=2)
    assert "line 3, column item: 'Alien (1979)' is rated twice" in err
    mine.write_text("item\n1\n")
    assert "no column 'rating'" in said(["recommend", run, "--ratings", mine], capsys, code=2)


def test_a_run_that_is_not_there(tmp_path: Path, mine: Path, capsys: Out) -> None:
    err = said(["recommend", "none", "--ratings", mine, "--outputs", tmp_path], capsys, code=2)
    assert "no run 'none'" in err


def test_control_c_ends_it_without_a_word_of_resuming(
    run: Path, mine: Path, capsys: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    from metarun.answers import api

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(api.Answers, "predictor", stop)
    assert main(["recommend", str(run), "--ratings", str(mine)]) == 130
    assert capsys.readouterr().err.strip() == "Stopped."
