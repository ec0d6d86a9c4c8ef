"""A local sweep is killed at random moments, again and again: the report is that of an undisturbed one."""

from __future__ import annotations

import csv
import random
import re
import shutil
import time
from pathlib import Path

import pytest
from small_run import SMALL, begin_command, bits, command, differing, said

from metarun.report import find_runs, report

SWEEP = ["-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", *SMALL, "pipeline.rounds=1"]
AXES = ["evaluate.against=[baseline/constant]", "strategy=meta/maml,[transfer/finetune,meta/ridge]", "seed=0,1,2"]
COST = ("wall_seconds", "cpu_seconds", "peak_memory_mb", "method_seconds")


def sweep(home: Path, data: Path) -> list[str]:
    return [*SWEEP, *AXES, f"paths.data={data}", f"paths.outputs={home}/outputs"]


def told(home: Path, outputs: Path) -> list[str]:
    """Return the rows of the report, less the time and the memory that they have cost."""
    report(find_runs(["run"], outputs), home / "all.csv")
    with (home / "all.csv").open(newline="", encoding="utf-8") as file:
        return sorted(str({k: v for k, v in row.items() if k not in COST}) for row in csv.DictReader(file))


def manifests(home: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in home.glob("outputs/run/*/manifest.json")}


def killed(words: list[str], home: Path, kills: int, moments: random.Random) -> None:
    """Start the sweep and kill it at a random moment after one of its jobs has begun, `kills` times.

    Where it has ended by itself before that, one of its runs is taken away, so that there is something to kill.
    """
    done = 0
    for _ in range(5 * kills):
        begun = manifests(home)
        process = begin_command(words, home)
        until = time.monotonic() + 60
        while process.is_alive() and time.monotonic() < until and manifests(home) == begun:
            time.sleep(0.02)
        process.join(moments.uniform(0.0, 3.0))
        done += process.is_alive()
        process.kill()
        process.join(30)
        if done == kills:
            return
        finished = sorted(home.glob("outputs/run/*/summary.json"))
        if len(finished) == 6:
            shutil.rmtree(moments.choice(finished).parent)
    raise AssertionError(f"{done} kills instead of {kills}")


def survives(home: Path, data: Path, kills: int, seed: int) -> None:
    whole, disturbed = home / "whole", home / "disturbed"
    for folder in (whole, disturbed):
        folder.mkdir()
    assert command(sweep(whole, data), whole)[0] == 0
    words = sweep(disturbed, data)
    killed(words, disturbed, kills, random.Random(seed))
    code, _ = command(words, disturbed)
    assert code == 0, said(disturbed)[-3000:]
    assert told(disturbed, disturbed / "outputs") == told(whole, whole / "outputs")
    for folder in sorted(whole.glob("outputs/run/*/")):
        other = disturbed / "outputs" / "run" / folder.name
        assert not differing(bits(other), bits(folder))
        log = (other / "metarun.log").read_text(encoding="utf-8")
        finished = re.findall(r"^(\S+) \(.*\): \d+ steps in", log, re.MULTILINE)
        assert len(finished) == len(set(finished)), f"a finished stage was run twice: {finished}"


@pytest.mark.nightly
def test_a_sweep_killed_twice(few_ratings: Path, tmp_path: Path) -> None:
    survives(tmp_path, few_ratings, 2, seed=1)


@pytest.mark.nightly
@pytest.mark.timeout(1200)
def test_a_sweep_killed_twenty_times(few_ratings: Path, tmp_path: Path) -> None:
    survives(tmp_path, few_ratings, 20, seed=2)
