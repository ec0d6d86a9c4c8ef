import pytest
from run_folders import write_run

from metarun.errors import MetarunError
from metarun.report.groups import Asked, changed, group, natural
from metarun.report.reading import read_runs

SWEEP = [(strategy, seed) for strategy in ("meta/maml", "meta/ridge") for seed in (0, 1)]


def runs(home, *commands, **fields):
    folders = [write_run(home / f"run{n}", words, **fields) for n, words in enumerate(commands)]
    found, lines = read_runs(folders)
    assert lines == []
    return found


def sweep(home, *more):
    return runs(home, *([f"strategy={strategy}", f"seed={seed}", *more] for strategy, seed in SWEEP))


def names(groups):
    return {found.label: [run.name for run in found.runs] for found in groups}


def test_seeds_are_replicates(tmp_path):
    groups, lines = group(sweep(tmp_path, "a.b=1"), Asked())
    assert names(groups) == {"strategy=meta/maml": ["run0", "run1"], "strategy=meta/ridge": ["run2", "run3"]}
    assert lines == []


def test_seeds_apart_where_asked(tmp_path):
    groups, _ = group(sweep(tmp_path), Asked(by=("strategy", "seed")))
    assert [found.label for found in groups] == [f"strategy={s} seed={seed}" for s, seed in SWEEP]


def test_a_default_and_the_same_value_typed_are_one(tmp_path):
    found = runs(tmp_path, ["seed=0"], ["seed=1", "m.k=2"], leaves={"m": {"k": 2}})
    groups, _ = group(found, Asked())
    assert names(groups) == {"": ["run0", "run1"]}


def test_numbers_sort_as_numbers(tmp_path):
    groups, _ = group(runs(tmp_path, ["b.dim=64"], ["b.dim=8"], ["b.dim=128"]), Asked())
    assert [found.label for found in groups] == ["b.dim=8", "b.dim=64", "b.dim=128"]
    assert natural("x9") < natural("x10")


def test_other_defaults_under_the_same_command_are_another_group(tmp_path):
    old = write_run(tmp_path / "old", ["seed=0"], leaves={"pretrain": {"epochs": 20}})
    new = write_run(tmp_path / "new", ["seed=1"], leaves={"pretrain": {"epochs": 30}})
    found, _ = read_runs([old, new])
    assert changed(found) == ["pretrain.epochs"]
    assert [one.label for one in group(found, Asked())[0]] == ["pretrain.epochs=20", "pretrain.epochs=30"]


def test_a_repeated_run_counts_once(tmp_path):
    found = runs(tmp_path, ["seed=3"], ["seed=3"], manifest={"start": "2030"})
    groups, lines = group(found, Asked())
    assert names(groups) == {"": ["run1"]}
    assert lines[0].startswith(f"left out: {tmp_path / 'run0'} (the same settings and seed as run1")


def test_unknown_keys(tmp_path):
    for option, asked in (("--by", Asked(by=("stratgy",))), ("--over", Asked(over=("stratgy",)))):
        with pytest.raises(MetarunError, match=rf"{option} stratgy: no run changed it; .*Did you mean 'strategy'\?"):
            group(sweep(tmp_path), asked)
    with pytest.raises(MetarunError, match="both name seed"):
        group(sweep(tmp_path), Asked(by=("seed",), over=("seed",)))


def test_what_differs_beyond_by_is_averaged_only_where_asked(tmp_path):
    found = runs(tmp_path, *([f"strategy={s}", f"b.dim={d}"] for s in ("meta/maml", "meta/ridge") for d in (4, 8)))
    with pytest.raises(MetarunError, match=r"also differ in b\.dim \(4, 8\); add it to --by, or .* --over b\.dim"):
        group(found, Asked(by=("strategy",)))
    groups, _ = group(found, Asked(by=("strategy",), over=("b.dim",)))
    assert names(groups) == {"strategy=meta/maml": ["run0", "run1"], "strategy=meta/ridge": ["run2", "run3"]}


def test_what_follows_from_by_needs_no_name(tmp_path):
    found = runs(tmp_path, ["strategy=meta/maml", "b.dim=4"], ["strategy=meta/ridge", "b.dim=8"])
    assert [one.label for one in group(found, Asked(by=("strategy",)))[0]] == [
        "strategy=meta/maml",
        "strategy=meta/ridge",
    ]


def test_other_splits_are_refused_unless_asked_for(tmp_path):
    found = runs(tmp_path, *([f"dataset.split_seed={seed}"] for seed in (0, 1, 2)))
    with pytest.raises(MetarunError) as refused:
        group(found, Asked())
    told = str(refused.value)
    assert "not tested on the same tasks (dataset.split_seed: 0, 1, 2)" in told
    assert "--by dataset.split_seed" in told
    assert "--over dataset.split_seed" in told
    assert "--mixed" in told
    assert "\n" not in told
    assert len(group(found, Asked(by=("dataset.split_seed",)))[0]) == 3
    assert len(group(found, Asked(over=("dataset.split_seed",)))[0]) == 1
    assert len(group(found, Asked(mixed=True))[0]) == 3


def test_other_data_are_refused_unless_asked_for(tmp_path):
    a = write_run(tmp_path / "a", manifest={"data": {"name": "toy/1", "checksum": "one"}})
    b = write_run(tmp_path / "b", manifest={"data": {"name": "toy/1", "checksum": "two"}})
    found, _ = read_runs([a, b])
    with pytest.raises(MetarunError, match="checksum: one, two"):
        group(found, Asked())
    assert [one.label for one in group(found, Asked(mixed=True))[0]] == ["checksum=one", "checksum=two"]


def test_runs_without_a_manifest_are_compared_as_themselves(tmp_path):
    found = runs(tmp_path, [], [], manifest={"config": {}})
    assert [one.label for one in group(found, Asked())[0]] == ["run=run0", "run=run1"]
