import numpy as np
import pytest
from run_folders import write_run

from metarun.metrics.holm import holm
from metarun.metrics.interval import paired
from metarun.metrics.student import two_sided
from metarun.report.assemble import compare
from metarun.report.groups import Asked
from metarun.report.reading import read_runs

BASE = tuple(np.linspace(0.8, 1.2, 20))
"""Absolute errors of the reference."""


def better(by, wobble=0.01):
    """Return errors lower by so much, with a little noise that leaves the mean alone."""
    return tuple(value - by + wobble * (-1) ** n for n, value in enumerate(BASE))


def comparison(home, *runs, asked=None, **fields):
    folders = [write_run(home / f"run{n}", words, errors, **fields) for n, (words, errors) in enumerate(runs)]
    found, lines = compare(read_runs(folders)[0], asked or Asked())
    assert lines == []
    return found


def cell(found, method, where="", size=1):
    (table,) = found.tables.values()
    (number,) = [n for n, e in enumerate(found.entries) if e.method == method and e.where == where]
    return table.cells[number, size]


def test_one_table_by_hand(tmp_path):
    errors = {"baseline/ridge": BASE, "meta/ridge": better(0.1), "meta/maml": better(0.098)}
    found = comparison(tmp_path, ([], errors))
    best, near, reference = (cell(found, m) for m in ("meta/ridge", "meta/maml", "baseline/ridge"))
    assert (best.best, near.best, reference.best) == (True, False, False)
    assert best.found.value == pytest.approx(0.9)
    # Three comparisons: each strategy with the reference, maml with the best; ridge with the best is the first again.
    pairs = [("meta/ridge", "baseline/ridge"), ("meta/maml", "baseline/ridge"), ("meta/maml", "meta/ridge")]
    p = []
    for a, b in pairs:
        single = paired(errors[a], errors[b], "mae")
        error = np.std(np.subtract(errors[a], errors[b]), ddof=1) / 20**0.5
        p.append(two_sided(single.value / error, 19) if error > 1e-12 else 0.0)
    adjusted = holm(p)
    (table,) = found.tables.values()
    assert table.comparisons == 3
    assert best.reference.corrected == pytest.approx(adjusted[0], rel=1e-6, abs=1e-15)
    assert reference.leader.corrected == best.reference.corrected
    assert reference.leader.found.value == pytest.approx(0.1)
    assert best.against("mae") == 1
    assert reference.reference is None
    assert not reference.near


def test_not_significantly_worse_is_marked(tmp_path):
    errors = {"baseline/ridge": BASE, "meta/ridge": better(0.1, 0.2), "meta/maml": better(0.099, -0.2)}
    found = comparison(tmp_path, ([], errors))
    assert cell(found, "meta/ridge").best
    assert cell(found, "meta/maml").near
    assert cell(found, "meta/maml").leader.corrected > 0.9


def test_significantly_worse_than_the_reference(tmp_path):
    found = comparison(tmp_path, ([], {"baseline/ridge": BASE, "meta/ridge": better(-0.1)}))
    assert cell(found, "meta/ridge").against("mae") == -1
    assert cell(found, "baseline/ridge").best


def test_the_oracle_is_no_rival(tmp_path):
    found = comparison(tmp_path, ([], {"baseline/ridge": BASE, "oracle": better(0.5)}))
    assert cell(found, "baseline/ridge").best
    assert not cell(found, "oracle").best
    assert cell(found, "oracle").leader is None


def test_what_all_groups_share_stands_once(tmp_path):
    runs = [
        ([f"strategy={strategy}", f"seed={seed}"], {"baseline/ridge": BASE, strategy: better(0.1 + 0.01 * seed)})
        for strategy in ("meta/ridge", "meta/maml")
        for seed in (0, 1)
    ]
    found = comparison(tmp_path, *runs)
    assert [(e.method, e.where, e.groups) for e in found.entries] == [
        ("baseline/ridge", "", (0, 1)),
        ("meta/maml", "", (0,)),
        ("meta/ridge", "", (1,)),
    ]
    assert cell(found, "meta/maml").found.value == pytest.approx(0.895)
    assert cell(found, "meta/maml").found.replicates == 2


def test_what_some_groups_share_is_named_by_what_they_have_in_common(tmp_path):
    runs = [
        ([f"strategy={strategy}", f"b.dim={dim}"], {"baseline/ridge": better(dim / 100), strategy: better(0.1)})
        for strategy in ("meta/ridge", "meta/maml")
        for dim in (4, 8)
    ]
    found = comparison(tmp_path, *runs)
    assert {(e.method, e.where) for e in found.entries if e.method == "baseline/ridge"} == {
        ("baseline/ridge", "b.dim=4"),
        ("baseline/ridge", "b.dim=8"),
    }
    # A strategy is held against the reference of its own runs.
    (table,) = found.tables.values()
    for n, entry in enumerate(found.entries):
        if entry.method != "baseline/ridge":
            other = found.entries[table.cells[n, 1].reference.to]
            assert set(entry.groups) & set(other.groups)


def test_other_splits_have_a_best_each_and_no_pairs_across(tmp_path):
    runs = [([f"dataset.split_seed={n}"], {"baseline/ridge": BASE, "meta/ridge": better(0.1 + n / 10)}) for n in (0, 1)]
    found = comparison(tmp_path, *runs, asked=Asked(by=("dataset.split_seed",)))
    (table,) = found.tables.values()
    assert [(found.entries[n].method, found.entries[n].where) for (n, _), c in table.cells.items() if c.best] == [
        ("meta/ridge", "dataset.split_seed=0"),
        ("meta/ridge", "dataset.split_seed=1"),
    ]
    for (n, _), one in table.cells.items():
        for pair in filter(None, (one.reference, one.leader)):
            assert found.entries[pair.to].where == found.entries[n].where
    assert len(found.chosen) == 2


def test_other_test_tasks_of_the_same_split_are_not_paired(tmp_path):
    a = write_run(tmp_path / "a", ["b.dim=4"], {"baseline/ridge": BASE, "meta/ridge": better(0.1)})
    b = write_run(tmp_path / "b", ["b.dim=8"], {"baseline/ridge": BASE, "meta/ridge": better(0.2)}, ids=range(50, 70))
    found, _ = compare(read_runs([a, b])[0], Asked())
    (table,) = found.tables.values()
    assert sum(one.best for one in table.cells.values()) == 2


def test_ids_in_another_order_are_the_same_tasks(tmp_path):
    back = {m: v[::-1] for m, v in {"baseline/ridge": BASE, "meta/maml": better(0.1)}.items()}
    a = write_run(tmp_path / "a", ["strategy=meta/ridge"], {"baseline/ridge": BASE, "meta/ridge": better(0.1)})
    b = write_run(tmp_path / "b", ["strategy=meta/maml"], back, ids=range(19, -1, -1))
    found, _ = compare(read_runs([a, b])[0], Asked())
    assert [e.groups for e in found.entries if e.method == "baseline/ridge"] == [(0, 1)]
    assert cell(found, "meta/ridge").found.value == pytest.approx(cell(found, "meta/maml").found.value)


def test_validation_chooses_and_test_never_does(tmp_path):
    folders = []
    for method, by, value in (("meta/a", 0.2, 0.9), ("meta/b", 0.1, 0.8)):
        errors, validation = {"baseline/ridge": BASE, method: better(by)}, {method: value, "baseline/ridge": 0.1}
        folders.append(write_run(tmp_path / method[-1], [f"strategy={method}"], errors, validation=validation))
    found, _ = compare(read_runs(folders)[0], Asked())
    assert [found.entries[n].method for n in found.chosen] == ["meta/b"]
    assert cell(found, "meta/a").best


def test_values_of_other_validation_tasks_are_not_weighed_against_each_other(tmp_path):
    for key in ("evaluate.validation_tasks", "trainer.tasks"):
        runs = [([f"{key}={n}"], {"baseline/ridge": BASE, "meta/ridge": better(0.1 + n / 1000)}) for n in (10, 20)]
        found = comparison(tmp_path / key, *runs)
        assert len(found.chosen) == 2
        (table,) = found.tables.values()
        assert sum(one.best for one in table.cells.values()) == 1, "the test tasks are the same"


def test_a_strategy_is_named_once_unless_that_is_ambiguous(tmp_path):
    runs = [
        (["strategy=meta/a", "b.dim=4"], {"baseline/ridge": BASE, "meta/a": better(0.1), "meta/b": better(0.3)}),
        (["strategy=meta/b", "b.dim=4"], {"baseline/ridge": BASE, "meta/b": better(0.2)}),
        (["strategy=meta/b", "b.dim=8"], {"baseline/ridge": BASE, "meta/b": better(0.4)}),
    ]
    found = comparison(tmp_path, *runs)
    assert {(e.method, e.where) for e in found.entries} == {
        ("baseline/ridge", ""),
        ("meta/a", "b.dim=4"),
        ("meta/b", "strategy=meta/a b.dim=4"),
        ("meta/b", "strategy=meta/b b.dim=4"),
        ("meta/b", "b.dim=8"),
    }
