import io

import pytest
from rich.console import Console

from metarun.report.notation import number, ordered, short, spoken
from metarun.report.ranking import ranking_table
from metarun.report.table import support_table, trials


def text(renderable, width=80):
    console = Console(file=io.StringIO(), width=width)
    console.print(renderable)
    return console.file.getvalue()


def line(table, name):
    return next(line for line in table.splitlines() if line.split()[:1] == [name])


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.955, ".955"), (1.008, "1.008"), (-0.0123, "-.012"), (0.9999, "1.000"), (123.456, "123.5"), (0, ".000")],
)
def test_short(value, expected):
    assert short(value) == expected


def test_numbers():
    assert number({"value": 1.008, "ci95": 0.0181, "n": 9}, compact=False) == "1.008 ±.018"
    assert number({"value": 1.008, "ci95": 0.0181, "n": 9}, compact=True) == "1.008±18"
    assert number({"value": 1.008, "ci95": None, "n": 1}, compact=True) == "1.008"
    assert number({"value": None, "ci95": None, "n": 9}, compact=True) == "diverged"
    assert number(None, compact=True) == ""
    assert [spoken([1]), spoken([1, 3]), spoken([1, 3, 5])] == ["1", "1 and 3", "1, 3 and 5"]
    assert ordered(["meta/maml", "online/sgd", "mylab/own", "baseline/bias"])[-1] == "mylab/own"


def test_thirteen_methods_and_six_sizes_fit_80_columns(summary):
    table = text(support_table(summary, width=80))
    assert max(map(len, table.splitlines())) <= 80
    assert "…" not in table
    for method in summary["test"]["user-cold"]["0"]:
        assert len(line(table, method.split("/")[1]).split()) >= 7
    assert "300 user-cold test users, protocol tasks" in table
    assert "split cold, split seed 0, seed 1" in table.replace("\n", " ")


def test_a_wide_terminal_spells_the_intervals(summary):
    table = text(support_table(summary, width=120), 120)
    assert " ±.0" in table
    assert "thousandths" not in table


def test_marks(summary):
    sizes, pairs = summary["test"]["user-cold"], summary["paired"]["user-cold"]
    table = text(support_table(summary, width=80))
    chosen = next(row for row in table.splitlines() if row.startswith("→"))
    best = min(m["rmse"]["value"] for m in sizes["1"].values())
    assert (f">{short(best)}" in chosen) == (sizes["1"]["meta/ridge"]["rmse"]["value"] == best)
    assert pairs["1"]["meta/ridge"]["difference"] < -pairs["1"]["meta/ridge"]["ci95"]
    assert chosen.split()[3].endswith("*")
    assert line(table, "constant").split()[2].endswith("°")
    # Nobody knows anything at size 0: all are the same, all are the best, no difference is significant.
    assert all(line(table, name).split()[1].startswith(">") for name in ("constant", "maml", "sgd"))
    assert not line(table, "maml").split()[1].endswith(("*", "°"))


def test_columns_stay_aligned(summary):
    rows = [
        row for row in text(support_table(summary, width=80)).splitlines() if "±" in row and row[:2] in ("  ", "→ ")
    ]
    assert len(rows) == 13
    assert len({row.index("±") for row in rows}) == 1


def test_no_stars_on_another_metric(summary):
    table = text(support_table(summary, "mae"))
    assert "MAE by support" in table
    assert "*" not in table
    assert "°" not in table


def test_brief(summary):
    lines = text(support_table(summary, "mae", width=80, brief=True), 120).splitlines()
    assert lines[-1] == "300 user-cold test users; marks as in the main table; ± 95 % in thousandths; less is better"


def test_trials(summarise):
    counts = {"baseline/constant": 1, "baseline/ridge": 12, "meta/ridge": 12, "meta/maml": 24, "online/sgd": 24}
    counts |= {"meta/anil": 24}
    assert trials({"trials": counts, "validation_tasks": 488}) == (
        "24 validation trials per method and size on 488 validation users "
        "(constant: 1; baseline/ridge and meta/ridge: 12)"
    )
    assert trials({"trials": {"meta/maml": 1}}) == "1 validation trial per method and size"
    assert trials({"trials": {"baseline/ridge": 0}, "validation_tasks": 9}) == ""
    assert trials({}) == ""
    summary = summarise(trials=counts)
    assert "24 validation trials" in text(support_table(summary))
    assert "validation trials" not in text(support_table(summary, "mae"))


def test_few_users():
    entry = {"rmse": {"value": 1.0, "ci95": 0.2, "n": 29}}
    summary = {"dataset": "d", "metric": "rmse", "test": {"user-cold": {"0": {"a/b": entry}, "1": {"a/b": entry}}}}
    assert "\nonly 29 users: read the intervals, not the ranks\n" in text(support_table(summary))
    entry["rmse"]["n"] = 30
    assert "only" not in text(support_table(summary))


def test_one_column_of_known_users(summary):
    entry = {"rmse": {"value": 0.86, "ci95": 0.01, "n": 300}}
    sizes = {"20": {"pretrain/matrix_factorisation": entry, "baseline/ridge": entry}}
    table = text(support_table(summary | {"test": {"warm": sizes}}, cell="warm", width=120), 120)
    assert "same users and queries" not in table
    assert "\npretrain/matrix_factorisation: with all training ratings of these users, not 20\n" in table


def test_the_head_where_tasks_may_have_fewer_ratings(summarise):
    sizes = {"90": {"baseline/ridge": {"rmse": {"value": 0.86, "ci95": 0.01, "n": 300}}}}
    found = summarise(test={"item-cold": sizes}, paired={}, setting={"split": "melu"})
    table = text(support_table(found, cell="item-cold"))
    assert table.startswith("movielens/1m: RMSE by support ratings, item-cold users\n")
    assert "≤ 90" in table.splitlines()[1]
    assert "≤" not in text(support_table(found | {"setting": {"split": "cold"}}, cell="item-cold"))


def test_the_claim_is_only_about_movielens(summary):
    assert "claimed elsewhere" in text(ranking_table(summary))
    assert "claimed elsewhere" not in text(ranking_table(summary | {"dataset": "my/ratings.csv"}))


def test_ascii(summary):
    console = Console(file=io.StringIO(), width=80)
    console.print(support_table(summary, unicode=False), ranking_table(summary, unicode=False))
    table = console.file.getvalue()
    assert table.isascii()
    assert line(table, "constant").rstrip().endswith("o")  # the last column is whole


def test_ranking_frames_the_models(summary):
    table = text(ranking_table(summary))
    assert max(map(len, table.splitlines())) <= 80
    rows = [row.split()[0] for row in table.splitlines() if row.count(".") >= 7]
    assert rows[:2] == ["random", "popularity"]
    assert rows[-1] == "oracle"
    assert line(table, "random").split()[4] == ".000"
    assert line(table, "oracle").split()[4] == "1.000"
    assert table.index("≥ 3") < table.index("≥ 4")
    assert ">" not in line(table, "oracle")


def test_ranking_without_an_oracle_has_no_lift(summary):
    kept = {p: {m: e for m, e in ms.items() if m != "oracle"} for p, ms in summary["ranking"].items()}
    kept = {p: {m: {k: v for k, v in e.items() if k != "lift"} for m, e in ms.items()} for p, ms in kept.items()}
    table = text(ranking_table(summary | {"ranking": kept}))
    assert len(line(table, "random").split()) == 7
