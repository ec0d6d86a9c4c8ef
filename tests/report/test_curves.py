import pytest
from run_folders import write_run

from metarun.report.assemble import compare
from metarun.report.curves import MOST, curves, thinned
from metarun.report.groups import Asked
from metarun.report.reading import read_runs
from metarun.results import write_jsonl


def row(split, stage, round, step, value, method="meta/ridge", metric="loss"):
    return {"split": split, "stage": stage, "round": round, "step": step, "value": value, "method": method,
            "metric": metric, "protocol": "training"}  # fmt: skip


@pytest.fixture
def found(tmp_path):
    for seed in (0, 1):
        folder = write_run(tmp_path / f"s{seed}", [f"seed={seed}"])
        lines = [
            row("train", "1-meta", 1, 10, 4.0 + seed), row("train", "1-meta", 1, 20, 2.0),
            row("train", "2-meta", 2, 10, 1.0), row("validation", "1-meta", 1, 20, 0.9, metric="mae"),
            row("validation", "2-meta", 2, 20, 0.8 + seed / 5, metric="mae"), row("test", "evaluate", 2, 20, 0.7),
            row("validation", "1-pretrain", 1, 5, None, "pretrain", "mae"),
        ]  # fmt: skip
        write_jsonl(folder / "metrics.jsonl", lines)
    return tmp_path


def test_means_over_seeds_and_rounds_one_after_another(found):
    one, _ = compare(read_runs([found / "s0", found / "s1"])[0], Asked())
    training, validation = curves(one)
    assert (training["kind"], training["x"], training["y"]) == ("training", [10, 20, 30], [4.5, 2.0, 1.0])
    assert (validation["metric"], validation["x"], validation["y"]) == ("mae", [1, 2], [0.9, 0.9])


def test_a_file_cut_short_gives_what_it_has(found):
    path = found / "s0" / "metrics.jsonl"
    path.write_text(path.read_text()[:250])
    one, _ = compare(read_runs([found / "s0"])[0], Asked())
    assert [curve["x"] for curve in curves(one)] == [[10]]
    path.unlink()
    assert curves(one) == []


def test_few_points_and_the_last():
    points = [(float(n), 0.0) for n in range(1001)]
    kept = thinned(points)
    assert len(kept) <= MOST + 1
    assert kept[-1] == (1000.0, 0.0)
    assert thinned(points[:3]) == points[:3]
