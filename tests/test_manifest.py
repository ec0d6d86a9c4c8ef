import subprocess

import pytest
from omegaconf import OmegaConf

from metarun import manifest
from metarun.errors import MetarunError

DATA = {"name": "movielens/1m", "synthetic": False, "checksum": "ab12"}


def config(**overrides):
    tree = {
        "seed": 0,
        "resume": "auto",
        "paths": {"outputs": "outputs", "data": "/here"},
        "logger": None,
        "backbone": {"dim": 32},
        "dataset": {"folder": "${paths.data}", "split_seed": 7, "seed": "${seed}", "sizes": [0, 1, 3], "tuned": {}},
    }
    return OmegaConf.merge(tree, OmegaConf.from_dotlist([f"{key}={value}" for key, value in overrides.items()]))


def test_start_and_finish(tmp_path):
    manifest.start(tmp_path, config(), DATA)
    opened = manifest.read_json(tmp_path / "manifest.json")
    assert opened["config"]["dataset"] == {
        "folder": "${paths.data}", "split_seed": 7, "seed": 0, "sizes": [0, 1, 3], "tuned": {},
    }  # fmt: skip
    assert not {"resume", "paths", "logger"} & opened["config"].keys()
    assert opened["data"] == DATA
    assert opened["seeds"] == {"seed": 0, "dataset.split_seed": 7, "dataset.seed": 0}
    assert opened["end"] is None
    done = manifest.finish(tmp_path)
    assert done == manifest.read_json(tmp_path / "manifest.json")
    (attempt,) = done["attempts"]
    assert attempt["end"] == done["end"] >= done["start"]
    assert attempt["cpu_seconds"] > 0
    assert 10 < attempt["peak_memory_mb"] < 1e6
    assert attempt["threads"] >= 1
    assert {"python", "torch", "pytorch-lightning", "numpy", "metarun"} <= attempt["versions"].keys()


def test_a_second_attempt_keeps_the_first(tmp_path):
    first = manifest.start(tmp_path, config(), DATA)
    second = manifest.start(tmp_path, config(), DATA)
    assert len(second["attempts"]) == 2
    assert second["start"] == first["start"]
    assert second["attempts"][0]["end"] is None  # killed


def test_the_same_run_has_no_difference(tmp_path):
    manifest.start(tmp_path, config(), DATA)
    moved = config(resume="never", **{"paths.data": "/elsewhere"})
    assert manifest.compare(tmp_path, moved, DATA) == []
    assert manifest.changed(tmp_path) == []


def test_differences_name_their_keys(tmp_path):
    manifest.start(tmp_path, config(), DATA)
    other = config(**{"backbone.dim": 64, "dataset.tuned.maml.inner_lr": 0.3})
    assert manifest.compare(tmp_path, other, DATA | {"checksum": "cd34"}) == [
        "backbone.dim: 32 -> 64",
        "dataset.tuned: {} -> (absent)",
        "dataset.tuned.maml.inner_lr: (absent) -> 0.3",
        "data checksum: ab12 -> cd34",
    ]


def test_other_threads_are_a_warning(tmp_path, monkeypatch):
    manifest.start(tmp_path, config(), DATA)
    monkeypatch.setattr(manifest, "_threads", lambda: 99)
    (line,) = manifest.changed(tmp_path)
    assert line.endswith("-> 99: the last bits of the results may differ")


def test_the_hash_does_not_depend_on_the_order_of_keys():
    assert (
        manifest.hash_of({"a": 1, "b": 2}) == manifest.hash_of({"b": 2, "a": 1}) != manifest.hash_of({"a": 1, "b": 3})
    )


def test_no_git_is_no_commit(monkeypatch):
    def missing(*args, **kwargs):
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", missing)
    assert manifest._code() == {"commit": None, "dirty": None}


def test_a_broken_manifest_is_an_error(tmp_path):
    (tmp_path / "manifest.json").write_text('{"config": ')
    with pytest.raises(MetarunError, match="cannot read"):
        manifest.compare(tmp_path, config(), DATA)


def test_another_number_of_processes_is_a_warning(tmp_path, monkeypatch):
    manifest.start(tmp_path, config(), DATA)
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert manifest.compare(tmp_path, config(), DATA) == []
    (warning,) = manifest.changed(tmp_path)
    assert warning.startswith("since the last attempt processes: 1 -> 2: the last bits")
