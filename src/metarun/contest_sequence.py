"""The end of a run over a sequence of tasks: what was kept of each is written, and no row is scored as it came."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig

from metarun import build, smoke
from metarun.contest import normalised
from metarun.cost import model_facts
from metarun.evaluate import Judge
from metarun.following import Followed, everyone
from metarun.manifest import FORMAT
from metarun.metrics import continual
from metarun.pipeline import Pipeline
from metarun.report import sequence_plot, summary
from metarun.results import SUMMARY, Score, finite, rows, write_json, write_values
from metarun.watch import Watch

CELL = "seen"
MATRIX = "accuracy_matrix.json"
FIGURES = ("final", "learned", "forgetting", "backward", "forward")


def contest(
    cfg: DictConfig, data: Any, judge: Judge, folder: Path, described: dict[str, Any], began: float, watch: Watch
) -> dict[str, Any]:
    """Let every method learn the tasks one after another and write the run's results; return its summary."""
    pipeline = Pipeline(cfg, data, folder, judge, watch)
    found, _ = everyone(pipeline)
    scores = [score for name, one in found.items() for score in scored(cfg, data, name, right_of(one))]
    matrices = {name: matrix(data, right_of(one)) for name, one in found.items()}
    result = assemble(pipeline, described, found, matrices, scores)
    result["seconds"] = round(time.monotonic() - began, 1)
    lines = pipeline.store.rows() + rows(scores, cfg.pipeline.rounds, "evaluate", int(cfg.seed))
    write_values(folder, scores, lines)
    write_json(folder / MATRIX, {name: np.round(r, 6).tolist() for name, r in matrices.items()})
    sequence_plot.sequence_plot(result, matrices, folder / "sequence.png")
    pipeline.watch.described(model_facts(pipeline))
    write_json(folder / SUMMARY, result)
    pipeline.watch.finished(folder, lines)
    return result


def right_of(one: Followed) -> NDArray[np.uint8]:
    """Return which held-out rows were right (T + 1, rows) at the start and after each task."""
    assert one.right is not None
    return one.right


def edges(data: Any) -> NDArray[np.int64]:
    """Return the first held-out row of each task, and the end (T + 1,)."""
    return np.cumsum([0, *(len(rows) for rows in data.plan.exams)])


def matrix(data: Any, right: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return accuracies (T + 1, T) on each task, at the start and after each task."""
    at = edges(data)
    sums = np.add.reduceat(right.astype(float), at[:-1], axis=1)
    return np.asarray(sums / np.diff(at))


def protocol(cfg: DictConfig, data: Any) -> str:
    """Return the protocol's name: the kind of sequence, rows that arrive at once, and passes."""
    return f"continual/{data.kind}/chunk={cfg.evaluate.stream_chunk}/passes=1"


def scored(cfg: DictConfig, data: Any, name: str, right: NDArray[np.uint8]) -> list[Score]:
    """Return the accuracy on the held-out rows of all tasks so far, after each task."""
    at = edges(data)
    return [
        Score("test", protocol(cfg, data), name, CELL, task, "accuracy", np.arange(at[task]),
              right[task, : at[task]].astype(float))
        for task in range(1, len(at))
    ]  # fmt: skip


def assemble(
    pipeline: Pipeline, described: dict[str, Any], found: dict[str, Followed],
    matrices: dict[str, NDArray[np.float64]], scores: list[Score],
) -> dict[str, Any]:  # fmt: skip
    """Return summary.json without its time."""
    cfg, data = pipeline.cfg, pipeline.data
    name = protocol(cfg, data)
    figures = {m: {k: finite(getattr(continual, k)(r)) for k in FIGURES} for m, r in matrices.items()}
    return {
        "format": FORMAT,
        "name": cfg.name,
        "run_id": pipeline.folder.name,
        "dataset": described["name"],
        "synthetic": described["synthetic"],
        "metric": "accuracy",
        "reference": cfg.evaluate.reference,
        "chain": build.strategies(cfg),
        "winner": None,  # nothing is chosen: there are no tasks to choose on
        "setting": {**data.setting, **normalised(pipeline), "seed": cfg.seed, **smoke.setting(cfg)},
        "cells": [CELL],
        "unit": "held-out rows",
        "validation": {},
        "protocol": name,
        "test": summary.support_values(scores, name.split("/")[0]),
        "paired": summary.paired_values(scores, cfg.evaluate.reference, "accuracy", [CELL], name.split("/")[0]),
        "ranking": {},
        "stream": {},
        "sequence": figures,
        "tuned": {},
        "trials": dict.fromkeys(found, 1),
        "validation_tasks": 0,
        "optimiser_steps": pipeline.steps,
        "cost": {m: {"seconds": round(one.seconds, 3), "steps": len(data.found.y)} for m, one in found.items()},
        "folder": str(pipeline.folder),
        "warnings": pipeline.notes + data.left_out(),
    }
