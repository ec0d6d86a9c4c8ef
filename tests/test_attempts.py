"""What the manifest says of an attempt that was killed, stopped, spoilt or short of memory, and what a run cost."""

from __future__ import annotations

import json
import os
import resource
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from small_run import Kill, command, complaint, folder_of

from metarun import memory
from metarun.errors import MetarunError


def attempts(home: Path) -> list[dict[str, Any]]:
    """Return what the manifest says of all attempts."""
    found: list[dict[str, Any]] = json.loads((folder_of(home) / "manifest.json").read_text(encoding="utf-8"))[
        "attempts"
    ]
    return found


@pytest.mark.slow
def test_a_kill_leaves_what_was_known_at_the_last_save(words: list[str], tmp_path: Path) -> None:
    assert command(words, tmp_path, Kill("step", "1-pretrain", 3))[0] == -signal.SIGKILL
    assert command(words, tmp_path, Kill("step", "1-meta", 13), [grow_in_meta])[0] == -signal.SIGKILL
    assert command(words, tmp_path)[0] == 0
    early, late, last = attempts(tmp_path)
    assert (early["exit"], late["exit"], last["exit"]) == (None, None, "finished")
    assert late["end"] is None
    assert late["peak_memory_mb"] > early["peak_memory_mb"] + 100
    assert late["cpu_seconds"] > 0
    manifest = json.loads((folder_of(tmp_path) / "manifest.json").read_text(encoding="utf-8"))
    summary = json.loads((folder_of(tmp_path) / "summary.json").read_text(encoding="utf-8"))
    assert manifest["format"] == summary["format"] == 1
    assert manifest["model"]["learned"].keys() == {"meta/maml"}
    assert manifest["model"]["parameters"] > 4 * 60
    assert 0 < manifest["model"]["labels"] <= 0.7 * 150 * 30 + 30
    cost = summary["cost"]
    assert cost.keys() == {"pretrain", *summary["tuned"]}
    assert cost["meta/maml"]["steps"] == 20
    assert cost["baseline/constant"]["steps"] == 0
    assert sum(one["steps"] for one in cost.values()) == summary["optimiser_steps"]
    assert all(one["seconds"] > 0 for one in cost.values())


@pytest.mark.slow
def test_a_kill_while_judging_leaves_what_was_known_at_the_end_of_the_stages(words: list[str], tmp_path: Path) -> None:
    unsaved = [word for word in words if "save_every" not in word] + ["pipeline.save_every=10000"]
    assert command(unsaved, tmp_path, Kill("call", "Judge.test", 1), [grow_in_meta])[0] == -signal.SIGKILL
    (entry,) = attempts(tmp_path)
    assert entry["exit"] is None
    assert command(unsaved, tmp_path, Kill("call", "Judge.test", 1))[0] == -signal.SIGKILL
    assert entry["peak_memory_mb"] > attempts(tmp_path)[1]["peak_memory_mb"] + 100


@pytest.mark.slow
def test_a_kill_after_the_summary_leaves_a_manifest_that_is_closed_when_the_run_is_shown(
    words: list[str], tmp_path: Path
) -> None:
    assert command(words, tmp_path, Kill("write", "summary.json", 1, "after"))[0] == -signal.SIGKILL
    path = folder_of(tmp_path) / "manifest.json"
    killed = json.loads(path.read_text(encoding="utf-8"))
    assert killed["model"]["parameters"] > 4 * 60
    assert killed["end"] is killed["attempts"][0]["exit"] is None
    assert command(words, tmp_path)[0] == 0
    shown = json.loads(path.read_text(encoding="utf-8"))
    (entry,) = shown["attempts"]
    assert entry["exit"] == "finished"
    assert shown["start"] < entry["end"] == shown["end"]
    assert shown["model"] == killed["model"]


def grow_in_meta() -> None:
    """Take 150 MB for the meta-update."""
    from metarun import pipeline

    line: Any = pipeline.Pipeline
    meta, kept = line.meta, []

    def larger(self: Any, *rest: Any) -> Any:
        kept.append(torch.ones(150 * 2**18))
        return meta(self, *rest)

    line.meta = larger


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_the_reason(number: signal.Signals, words: list[str], tmp_path: Path) -> None:
    assert command(words, tmp_path, changes=[Asked(number)])[0] == 128 + number
    (entry,) = attempts(tmp_path)
    assert entry["exit"] == f"stopped by {number.name}"


class Asked:
    """Sends a signal to the run at the second step of its meta-update."""

    def __init__(self, number: signal.Signals) -> None:
        self.number = number

    def __call__(self) -> None:
        """Set the trap."""
        from metarun.stages import meta

        stage: Any = meta.Meta
        step = stage.training_step

        def asked(module: Any, *rest: Any) -> Any:
            if module.position == 1:
                os.kill(os.getpid(), self.number)
            return step(module, *rest)

        stage.training_step = asked


@pytest.mark.slow
def test_a_failure_is_the_reason(words: list[str], tmp_path: Path) -> None:
    line = complaint(command([*words, "pipeline.meta.lr=1e30"], tmp_path))
    (entry,) = attempts(tmp_path)
    assert entry["exit"] == line.replace("metarun: ", "failed: ")


# ---------------------------------------------------------------------- memory


@pytest.mark.slow
def test_a_memory_limit_is_one_line_and_the_reason(words: list[str], tmp_path: Path) -> None:
    line = complaint(command([*words, "pipeline.meta.tasks=2000000"], tmp_path, changes=[short_of_memory]))
    for part in ("out of memory: peak ", "MB (ulimit -v)", "evaluate.chunk, pipeline.meta.tasks or backbone.dim"):
        assert part in line
    (entry,) = attempts(tmp_path)
    assert entry["exit"] == line.replace("metarun: ", "failed: ")
    assert entry["peak_memory_mb"] > 100


def short_of_memory() -> None:
    """Allow the meta-update 100 MB more than the run has then."""
    from metarun import pipeline

    line: Any = pipeline.Pipeline
    meta = line.meta

    def limited(self: Any, *rest: Any) -> Any:
        pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0])
        limit = pages * resource.getpagesize() + 100 * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        return meta(self, *rest)

    line.meta = limited


class OutOfMemoryError(RuntimeError):
    """As torch's own."""


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:114] err == 0. DefaultCPUAllocator: can't allocate memory: you "),
        RuntimeError("std::bad_alloc"),
    ],
)
def test_memory_that_runs_out_is_known_by_its_names(error: Exception) -> None:
    outer = ValueError("while parsing")
    outer.__cause__ = error
    for one in (error, outer):
        with pytest.raises(MetarunError, match=r"out of memory: peak [\d,]+ MB, limit [\d,]+ MB"), memory.told():
            raise one


def test_torch_says_so_in_these_words() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert memory.exhausted(caught.value)


def test_a_gpu_that_is_full_is_out_of_memory() -> None:
    assert memory.exhausted(OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB"))


def test_other_errors_pass() -> None:
    assert not memory.exhausted(ValueError("no"))
    with pytest.raises(ValueError, match="no"), memory.told():
        raise ValueError("no")


def test_the_least_limit_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {resource.RLIMIT_AS: resource.RLIM_INFINITY, resource.RLIMIT_DATA: 3 * 2**20}
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (limits[kind], resource.RLIM_INFINITY))
    assert memory.limit() == (3.0, "ulimit -d")
    limits[resource.RLIMIT_AS] = 2 * 2**20
    assert memory.limit() == (2.0, "ulimit -v")
    monkeypatch.setattr(memory, "_groups", lambda: iter([2**20]))
    assert memory.limit() == (1.0, "control group")
