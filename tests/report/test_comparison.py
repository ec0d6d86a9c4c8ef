import csv
import io

import numpy as np
import pytest
from rich.console import Console
from run_folders import write_run

from metarun.errors import MetarunError
from metarun.report import Asked, find_runs, report
from metarun.results import Score

BASE = tuple(np.linspace(0.8, 1.2, 20))


def lower(by, wobble=0.01):
    return tuple(value - by + wobble * (-1) ** n for n, value in enumerate(BASE))


@pytest.fixture
def sweep(tmp_path):
    """Two strategies, two seeds; ridge is the better one."""
    attempts = [
        {"start": "2030-01-01T00:00:00+00:00", "end": "2030-01-01T00:00:10+00:00", "cpu_seconds": 12.5,
         "peak_memory_mb": 512.0},
        {"start": "2030-01-01T00:01:00+00:00", "end": "2030-01-01T00:01:20+00:00", "cpu_seconds": 7.5,
         "peak_memory_mb": 256.0},
    ]  # fmt: skip
    for strategy, by in (("meta/maml", 0.1), ("meta/ridge", 0.2)):
        for seed in (0, 1):
            words = ["experiment=toy", f"strategy={strategy}", f"seed={seed}"]
            errors = {"baseline/ridge": BASE, strategy: lower(by + seed / 1000)}
            write_run(tmp_path / "toy" / f"{strategy[-1]}{seed}", words, errors, sizes=(0, 1, 5), attempts=attempts)
    return tmp_path


def said(folders, width=100, **options):
    console = Console(file=io.StringIO(), width=width)
    report(folders, console=console, **options)
    return console.file.getvalue()


def test_seeds_are_averaged_and_marked(sweep):
    text = said(find_runs(["toy"], sweep))
    lines = text.splitlines()
    assert lines[0] == "toy/1: MAE by support ratings, user-cold users"
    ridge = next(line for line in lines if line.startswith("→ meta/ridge"))
    assert ridge.split() == ["→", "meta/ridge", *[">.800±58*"] * 3]
    maml = next(line for line in lines if "meta/maml" in line)
    assert maml.split() == ["meta/maml", *[".899±58*"] * 3]
    flat = " ".join(text.split())
    assert "n = 20 user-cold test users, protocol tasks; 2 groups of 2 seeds (seeds 0 and 1)" in flat
    assert "p < .05 after Holm's correction for 9 comparisons" in flat
    assert "covers users and seeds" in flat
    assert text.count("baseline/ridge") == 3  # once in the table, in the caption, in the verdict


def test_the_verdict(sweep):
    line = next(line for line in said(find_runs(["toy"], sweep)).splitlines() if "was chosen" in line)
    assert line.startswith("meta/ridge was chosen on validation among 2 candidates (toy/1); on test its MAE is")
    assert "significantly below baseline/ridge by .200 to .200 at" not in line
    assert "significantly below baseline/ridge by .200 at support 0, 1 and 5 (paired over 20 user-cold users" in line


def test_cost_is_summed_over_attempts_and_what_is_missing_is_no_zero(sweep):
    lines = said(find_runs(["toy"], sweep)).splitlines()
    row = next(line for line in lines if line.startswith("strategy=meta/maml"))
    assert row.split() == ["strategy=meta/maml", "2", "30", "20", "512", "7", "-", "-"]


def test_other_splits_are_refused(sweep):
    write_run(sweep / "toy" / "other", ["strategy=meta/ridge", "dataset.split_seed=5"])
    with pytest.raises(MetarunError, match=r"add --by dataset\.split_seed"):
        said(find_runs(["toy"], sweep))
    text = said(find_runs(["toy"], sweep), asked=Asked(mixed=True))
    assert "differences across them are not paired" in " ".join(text.split())


def test_broken_folders_are_listed_below(sweep):
    (sweep / "toy" / "half").mkdir()
    (sweep / "toy" / "half" / "manifest.json").write_text("{}")
    text = said(find_runs(["toy"], sweep))
    assert f"not finished: {sweep / 'toy' / 'half'} (the same command takes it up)" in text
    with pytest.raises(MetarunError, match="not finished"):
        said([sweep / "toy" / "half"])


def test_ascii(sweep):
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    report(find_runs(["toy"], sweep), console=Console(file=file, width=100))
    file.seek(0)
    assert ">.800~58*" in file.read()


def test_metrics_that_there_are_not(sweep):
    with pytest.raises(MetarunError, match=r"--metric mea: the runs have mae\. Did you mean 'mae'"):
        said(find_runs(["toy"], sweep), metrics=("mea",))


def test_csv(sweep, tmp_path):
    said(find_runs(["toy"], sweep), csv=tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 3
    (ridge,) = [row for row in rows if row["method"] == "meta/ridge" and row["support"] == "5"]
    assert (ridge["chosen"], ridge["best"], ridge["not_worse_than_best"]) == ("True", "True", "True")
    assert (ridge["significance"], ridge["against"], ridge["strategy"]) == ("better", "baseline/ridge", "meta/ridge")
    assert (ridge["runs"], ridge["seeds"], ridge["n"]) == ("2", "2", "20")
    assert float(ridge["difference"]) == pytest.approx(-0.2005)
    assert float(ridge["wall_seconds"]) == 30.0
    assert ridge["parameters"] == ""
    assert ridge["run_ids"] == "e0 e1"
    shared = next(row for row in rows if row["method"] == "baseline/ridge")
    assert (shared["wall_seconds"], shared["strategy"], shared["significance"]) == ("", "", "")


def test_lists_without_support_sizes(tmp_path):
    ids = np.arange(6)
    for name, gain in (("a", 0.0), ("b", 0.2)):
        scores = [
            Score("test", "full", method, "warm", None, metric, ids, base + ids / 50)
            for method, base in (("random", 0.1), ("pretrain/ials", 0.4 + gain), ("oracle", 0.9))
            for metric in ("precision@20", "recall@20", "ndcg@20")
        ]
        words = [f"b.dim={1 + 3 * (name == 'b')}"]
        write_run(tmp_path / name, words, scores=scores, test={}, cells=[], metric="ndcg@20")
    text = said([tmp_path / "a", tmp_path / "b"])
    assert text.startswith("toy/1: warm users, protocol full at 20\n")
    heads = text.splitlines()[1].split()
    assert heads == ["nDCG", "P", "R", "F1"]
    assert text.count("pretrain/ials") == 2


def test_a_single_run_still_has_its_own_page(tmp_path):
    text = said([write_run(tmp_path / "one", errors={"baseline/ridge": BASE, "meta/ridge": lower(0.1)})])
    assert "MAE by support ratings, user-cold users" in text
    assert "won on validation" in text
