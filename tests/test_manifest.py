import os
import platform
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from metarun import machine, manifest, memory
from metarun.errors import MetarunError
from metarun.stopping import Stopped

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
    opening = manifest.start(tmp_path, config(), DATA)
    opened = manifest.read_json(tmp_path / "manifest.json")
    assert opened["config"]["dataset"] == {
        "folder": "${paths.data}", "split_seed": 7, "seed": 0, "sizes": [0, 1, 3], "tuned": {},
    }  # fmt: skip
    assert not {"resume", "paths", "logger"} & opened["config"].keys()
    assert opened["data"] == DATA
    assert opened["seeds"] == {"seed": 0, "dataset.split_seed": 7, "dataset.seed": 0}
    assert opened["format"] == 1
    assert opened["end"] is opened["attempts"][0]["exit"] is None
    opening.close("finished")
    done = manifest.load(tmp_path)
    (attempt,) = done["attempts"]
    assert attempt["exit"] == "finished"
    assert attempt["end"] == done["end"] >= done["start"]
    assert attempt["cpu_seconds"] > 0
    assert 10 < attempt["peak_memory_mb"] < 1e6
    assert attempt["threads"] >= 1
    assert {"python", "torch", "pytorch-lightning", "numpy", "metarun"} <= attempt["versions"].keys()


def test_a_second_attempt_keeps_the_first(tmp_path):
    first = manifest.start(tmp_path, config(), DATA).content
    second = manifest.start(tmp_path, config(), DATA).content
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
    monkeypatch.setattr(machine, "threads", lambda: 99)
    (line,) = manifest.changed(tmp_path)
    assert line.endswith("-> 99: the last bits of the results may differ")


def test_another_kind_of_processor_or_gpu_is_a_warning(tmp_path, monkeypatch):
    here = machine.hardware()
    manifest.start(tmp_path, config(), DATA)
    monkeypatch.setattr(machine, "hardware", lambda: here | {"system": "another", "cores": 999})
    assert manifest.changed(tmp_path) == []
    monkeypatch.setattr(machine, "hardware", lambda: here | {"processor": "Z80", "gpus": ["H100"]})
    gpu, processor = manifest.changed(tmp_path)
    assert "hardware.gpus: [] -> ['H100']" in gpu
    assert "-> Z80: the last bits of the results may differ" in processor


@pytest.mark.skipif(sys.platform != "linux", reason="it is read from /proc")
def test_a_processor_has_its_makers_name():
    name = machine.hardware()["processor"]
    assert name
    assert name != platform.machine() or "model name" not in Path("/proc/cpuinfo").read_text()


def test_the_hash_does_not_depend_on_the_order_of_keys():
    assert (
        manifest.hash_of({"a": 1, "b": 2}) == manifest.hash_of({"b": 2, "a": 1}) != manifest.hash_of({"a": 1, "b": 3})
    )


def test_no_git_is_no_commit(monkeypatch):
    def missing(*args, **kwargs):
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", missing)
    assert machine.code() == {"commit": None, "dirty": None}


def test_a_broken_manifest_is_an_error(tmp_path):
    (tmp_path / "manifest.json").write_text('{"config": ')
    with pytest.raises(MetarunError, match="cannot read"):
        manifest.compare(tmp_path, config(), DATA)


# ---------------------------------------------------------------------- how an attempt ends


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (KeyboardInterrupt(), "stopped by SIGINT"),
        (Stopped(signal.SIGTERM), "stopped by SIGTERM"),
        (MetarunError("the loss is nan"), "failed: the loss is nan"),
        (ValueError("two\nlines"), "failed: ValueError: two"),
    ],
)
def test_the_reason_of_the_end_is_kept(tmp_path, error, line):
    with pytest.raises(type(error)), manifest.attempt(tmp_path, config(), DATA):
        raise error
    found = manifest.load(tmp_path)
    assert found["attempts"][-1]["exit"] == line
    assert found["attempts"][-1]["end"] is not None
    assert found["end"] is None, "the run itself has not ended"


def test_the_signal_is_found_behind_an_exit():
    stop = SystemExit(1)  # as Lightning leaves
    stop.__context__ = Stopped(signal.SIGUSR1)
    assert manifest.reason(stop) == "stopped by SIGUSR1"


def test_memory_is_brought_up_to_date_while_it_runs(tmp_path, monkeypatch):
    with manifest.attempt(tmp_path, config(), DATA) as opened:
        monkeypatch.setattr(memory, "peak", lambda: 123.4)
        opened.save()
        (entry,) = manifest.load(tmp_path)["attempts"]
        assert (entry["peak_memory_mb"], entry["exit"], entry["end"]) == (123.4, None, None)


def test_cpu_seconds_are_of_this_attempt_alone(tmp_path):
    sum(i * i for i in range(3_000_000))  # what came before in the same process, as in a sweep
    with manifest.attempt(tmp_path, config(), DATA):
        pass
    assert manifest.load(tmp_path)["attempts"][0]["cpu_seconds"] < 0.1


def test_the_peak_is_of_this_attempt_alone(tmp_path):
    peaks = []
    for megabytes in (300, 0):
        with manifest.attempt(tmp_path, config(), DATA):
            bytearray(megabytes * 2**20).count(1)
        peaks.append(manifest.load(tmp_path)["attempts"][-1]["peak_memory_mb"])
    assert peaks[1] < peaks[0] - 200


def test_a_full_disk_at_the_end_does_not_hide_the_error(tmp_path, monkeypatch):
    def full(*_):
        raise MetarunError("no space")

    def work():
        with manifest.attempt(tmp_path, config(), DATA):
            monkeypatch.setattr(manifest, "write_json", full)
            raise ValueError("the real one")

    with pytest.raises(ValueError, match="the real one"):
        work()


@pytest.mark.parametrize(
    ("code", "own", "said"),
    [
        (-9, True, "killed by SIGKILL, perhaps for memory"),
        (-11, True, "killed by SIGSEGV"),
        (-9, False, None),  # it never came to an attempt of its own: this one is somebody else's
        (1, True, None),
        (0, True, None),
    ],
)
def test_who_started_a_process_writes_down_that_it_was_killed(tmp_path, code, own, said):
    process = SimpleNamespace(exitcode=code, pid=os.getpid() + (not own))
    manifest.killed(tmp_path, process)
    assert not list(tmp_path.iterdir())
    manifest.start(tmp_path, config(), DATA)
    manifest.killed(tmp_path, process)
    found = manifest.load(tmp_path)
    assert found["attempts"][0]["exit"] == said
    assert (found["attempts"][0]["end"] is None) == (said is None)
    assert found["end"] is None


def test_what_was_closed_stays_and_what_was_finished_is_no_kill(tmp_path):
    process = SimpleNamespace(exitcode=-9, pid=os.getpid())
    manifest.start(tmp_path, config(), DATA).close("failed: no")
    manifest.killed(tmp_path, process)
    assert manifest.load(tmp_path)["attempts"][0]["exit"] == "failed: no"
    manifest.start(tmp_path, config(), DATA)
    (tmp_path / "summary.json").write_text("{}")
    manifest.killed(tmp_path, process)
    assert manifest.load(tmp_path)["attempts"][1]["exit"] == "finished"


def test_only_what_its_process_could_not_close_is_settled(tmp_path):
    opened = manifest.start(tmp_path, config(), DATA)
    (tmp_path / "summary.json").write_text("{}")
    manifest.settle(tmp_path)
    found = manifest.load(tmp_path)
    assert found["end"] == found["attempts"][0]["end"]
    assert found["attempts"][0]["exit"] == "finished"
    opened.last["exit"] = "failed: the plot"
    opened.save()
    manifest.settle(tmp_path)
    assert manifest.load(tmp_path)["attempts"][0]["exit"] == "failed: the plot"


@pytest.mark.parametrize(("said", "age"), [(None, "an older"), (0, "an older"), (2, "a newer")])
def test_another_format_is_refused_with_what_to_do(tmp_path, said, age):
    opened = manifest.start(tmp_path, config(), DATA)
    opened.content["format"] = said
    opened.save()
    with pytest.raises(MetarunError, match=f"written by {age} metarun .*resume=never starts a new run beside it"):
        manifest.compare(tmp_path, config(), DATA)


def test_another_logger_is_the_same_run(tmp_path):
    one = config(**{"composed.options": ["backbone/mf", "logger/csv"]})
    manifest.start(tmp_path, one, DATA)
    other = config(**{"composed.options": ["backbone/mf", "logger/wandb"], "logger": "wandb"})
    assert manifest.compare(tmp_path, other, DATA) == []


def test_another_number_of_processes_is_a_warning(tmp_path, monkeypatch):
    manifest.start(tmp_path, config(), DATA)
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert manifest.compare(tmp_path, config(), DATA) == []
    (warning,) = manifest.changed(tmp_path)
    assert warning.startswith("since the last attempt processes: 1 -> 2: the last bits")
