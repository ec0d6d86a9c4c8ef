import io

import pytest
from rich.console import Console

from metarun.report.comparison import comparison, labels

ENTRY = {"value": 0.9, "ci95": 0.01, "n": 300}


def text(summaries, overrides, width=80, unicode=True):
    console = Console(file=io.StringIO(), width=width)
    console.print(comparison(summaries, overrides, unicode))
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([["a=1", "seed=0"], ["a=1", "seed=1"]], ["seed=0", "seed=1"]),
        ([["a=1"], ["a=1", "seed=1"]], ["11aa", "seed=1"]),
        ([["a=1"], ["a=1"]], ["11aa", "22bb"]),
        ([["experiment=x"], ["experiment=y", "seed=1"]], ["x", "y seed=1"]),
        ([[], []], ["11aa", "22bb"]),
    ],
)
def test_labels(overrides, expected):
    assert labels([{"run_id": "11aa"}, {"run_id": "22bb"}], overrides) == expected


def test_runs_of_one_label_keep_their_ids():
    runs = [{"run_id": "11aa"}, {"run_id": "11aa.2"}, {"run_id": "22bb"}]
    assert labels(runs, [["seed=0"], ["seed=0"], ["seed=1"]]) == ["seed=0 11aa", "seed=0 11aa.2", "seed=1"]


def test_a_long_label_leaves_the_columns_whole(summarise):
    long = ["evaluate.against=[baseline/bias,baseline/ridge,transfer/finetune]", "backbone.dim=64", "seed=3"]
    table = text([summarise(), summarise()], [long, ["seed=4"]])
    assert max(map(len, table.splitlines())) <= 80
    assert "…" not in table
    assert sum("±" in line and line.rstrip()[-1] in "*°0123456789" for line in table.splitlines()) == 4
    assert "\nbackbone.dim=64 seed=3\n" in table


def test_runs_of_two_metrics_say_which(summarise):
    sizes = {"1": {"meta/ridge": {"rmse": ENTRY, "ndcg@10": ENTRY}, "baseline/ridge": {"rmse": ENTRY}}}
    runs = [summarise(metric=metric, test={"user-cold": sizes}, paired={}) for metric in ("rmse", "ndcg@10")]
    table = text(runs, [["evaluate.metric=rmse"], ["evaluate.metric=ndcg@10"]])
    assert table.startswith("RMSE / nDCG@10 of user-cold test users")
    assert "  meta/ridge RMSE " in table
    assert "  meta/ridge nDCG@10 " in table


def test_known_users_where_no_run_has_cold_ones(summarise):
    sizes = {"20": {"baseline/ridge": {"rmse": ENTRY}, "pretrain/matrix_factorisation": {"rmse": ENTRY}}}
    runs = [summarise(test={"warm": sizes}, paired={}, winner=None) for _ in range(2)]
    table = text(runs, [["seed=0"], ["seed=1"]], unicode=False)
    assert table.startswith("RMSE of warm test users")
    assert sum("pretrain/matrix_factorisation" in line and ".900~10" in line for line in table.splitlines()) == 2
    assert table.isascii()


def test_one_footer_line_for_each_name_and_dataset(summarise):
    runs = [summarise(), summarise(), summarise(name="other")]
    lines = text(runs, [[], [], []], 120).splitlines()
    assert sum("movielens/1m" in line for line in lines) == 2
    assert "other, movielens/1m, split cold, split seed 0, seed 1: run 3fa9c01e" in lines
