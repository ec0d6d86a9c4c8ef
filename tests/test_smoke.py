"""trainer=smoke runs everything briefly and says what its numbers are worth."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_run import SMALL, bits, command, folder_of, steps_taken

from metarun import options

EVERYTHING = [
    *SMALL, "trainer=smoke", "pipeline.rounds=2", "pipeline.meta.steps=5000", "pretrain.epochs=500",
    "strategy=[transfer/finetune,adaptive/fixed_share,online/sgd,meta/maml]", "dataset.supports=[0,3]",
]  # fmt: skip
OTHERS = ("movielens_online",)
"""Those whose stages are of another kind; all experiments run in .ci/nightly."""
EXPERIMENTS = [
    pytest.param(name, marks=pytest.mark.slow if name in OTHERS else pytest.mark.nightly)
    for name in options.names("experiment")
    if name.startswith("movielens")
]


def test_every_stage_takes_a_few_steps_and_the_results_say_so(few_ratings: Path, tmp_path: Path) -> None:
    words = [*EVERYTHING, f"paths.data={few_ratings}", f"paths.outputs={tmp_path}/outputs"]
    code, text = command(words, tmp_path)
    assert code == 0, text
    folder = folder_of(tmp_path)
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    line = "a check that it runs (trainer.steps=2, trainer.tasks=16), ITS NUMBERS MEAN NOTHING"
    assert line in summary["warnings"]
    assert " ".join(text.split()).count("ITS NUMBERS MEAN NOTHING") == 2, "before and after"
    assert text.splitlines()[-1].startswith("A check that it runs, not a result: cut short by trainer.steps=2")
    taken = steps_taken(tmp_path)
    assert len(taken) == summary["optimiser_steps"]
    assert max(int(step.split()[-1]) for step in taken) == 2
    stages = {step.split()[0] for step in taken}
    assert {f"{n}-{stage}" for n in (1, 2) for stage in ("transfer", "adaptive", "online", "meta")} <= stages
    entries = summary["test"]["user-cold"]["3"]["meta/maml"]
    assert all(entry["n"] <= 16 for entry in entries.values())
    assert bits(folder)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_runs(name: str, tmp_path: Path) -> None:
    version = "1m" if name == "movielens_melu" else "sample"
    words = [f"+experiment={name}", "trainer=smoke", f"dataset.version={version}", f"paths.outputs={tmp_path}/outputs"]
    code, text = command(words, tmp_path)
    assert code == 0, text[-3000:]
    assert "A check that it runs, not a result" in text
