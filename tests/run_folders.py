"""Finished runs as they lie on a disk, with scores that a test can work out by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metarun.report.summary import paired_values, support_values
from metarun.results import Score, save_scores, write_json

Errors = Mapping[str, Sequence[float]]
"""Absolute errors of a method's tasks."""


def write_run(
    folder: Path,
    words: Sequence[str] = (),
    errors: Errors | None = None,
    *,
    sizes: Sequence[int] = (1,),
    ids: Sequence[int] | None = None,
    leaves: Mapping[str, Any] | None = None,
    attempts: Sequence[Mapping[str, Any]] = (),
    manifest: Mapping[str, Any] | None = None,
    scores: Sequence[Score] | None = None,
    **fields: Any,
) -> Path:
    """Write a run whose command changed `words`; its MAE at every size is the mean of `errors`."""
    typed = dict(word.split("=", 1) for word in words)
    seed, split_seed = int(typed.get("seed", 0)), int(typed.get("dataset.split_seed", 0))
    found = errors or {"baseline/ridge": (0.8, 1.0, 1.2), "meta/ridge": (0.6, 0.9, 1.1)}
    if scores is None:
        scores = [
            Score("test", "tasks", method, "user-cold", size, "mae",
                  np.array(ids or range(len(values))), np.array(values, dtype=float))
            for size in sizes
            for method, values in found.items()
        ]  # fmt: skip
    summary = {
        "name": typed.get("experiment", "toy"), "run_id": folder.name, "dataset": "toy/1", "synthetic": False,
        "metric": "mae", "winner": "meta/ridge", "reference": "baseline/ridge", "cells": ["user-cold"],
        "setting": {"split": "cold", "split_seed": split_seed, "seed": seed}, "unit": "users", "protocol": "tasks",
        "validation": {method: float(np.mean(values)) for method, values in found.items()},
        "test": support_values(scores), "paired": paired_values(scores, "baseline/ridge", "mae"),
        "ranking": {}, "stream": {}, "folder": str(folder), "warnings": [], "optimiser_steps": 7, "format": 1,
    } | fields  # fmt: skip
    options = [f"{key}/{value}" for key, value in typed.items() if key in ("experiment", "strategy")]
    dataset = {"split_seed": split_seed, "supports": list(sizes)}
    config = {
        "seed": seed,
        "dataset": dataset,
        "composed": {"overrides": list(words), "options": options},
        **nested({k: json.loads(v) for k, v in typed.items() if "." in k and v.isdecimal() and "split" not in k}),
        **(leaves or {}),
    }
    record = {
        "config": config,
        "data": {"name": "toy/1", "checksum": "abc"},
        "start": f"2030-01-01T00:00:{seed:02d}+00:00",
        "attempts": list(attempts),
    }
    write_json(folder / "manifest.json", record | dict(manifest or {}))
    save_scores(folder / "task_scores.npz", scores)
    write_json(folder / "summary.json", summary)
    return folder


def nested(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """Return {"backbone": {"dim": 32}} of {"backbone.dim": 32}."""
    tree: dict[str, Any] = {}
    for key, value in leaves.items():
        *path, last = key.split(".")
        place = tree
        for part in path:
            place = place.setdefault(part, {})
        place[last] = value
    return tree
