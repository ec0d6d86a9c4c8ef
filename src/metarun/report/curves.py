"""Learning curves of the compared runs, from their metrics.jsonl: the loss while training, validation after a stage."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from metarun.report.contrast import Comparison
from metarun.report.reading import Run

MOST = 150
"""Points of a curve on the page; more cannot be told apart."""


def curves(comparison: Comparison) -> list[dict[str, Any]]:
    """Return one curve per group, method, metric and kind ("training" by step, "validation" by round), mean over runs.

    {"group", "method", "kind", "metric", "x": [...], "y": [...]}; a point that only some runs have is left out.
    """
    found = []
    for number, group in enumerate(comparison.groups):
        each = [dict(_of(run)) for run in group.runs]
        for key in each[0]:
            lines = [one.get(key, {}) for one in each]
            shared = [x for x in lines[0] if all(x in line for line in lines)]
            points = thinned([(x, sum(line[x] for line in lines) / len(lines)) for x in shared])
            if points:
                kind, method, metric = key
                x, y = zip(*points, strict=True)
                named = {"group": number, "method": method, "kind": kind, "metric": metric}
                found.append({**named, "x": list(x), "y": [float(f"{value:.5g}") for value in y]})
    return found


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return at most about MOST points, evenly spaced, the last among them."""
    step = -(-len(points) // MOST)
    return [point for place, point in enumerate(points) if place % max(step, 1) == 0 or place == len(points) - 1]


def _of(run: Run) -> Iterator[tuple[tuple[str, str, str], dict[float, float]]]:
    """Yield ((kind, method, metric), {step or round: value}); the steps of a round follow those of the one before."""
    found: dict[tuple[str, str, str], dict[float, float]] = {}
    stages: dict[tuple[str, str, str], tuple[object, float]] = {}
    for row in rows(run.folder / "metrics.jsonl"):
        if row.get("value") is None:
            continue
        training = row.get("split") == "train"
        key = ("training" if training else "validation", str(row["method"]), str(row["metric"]))
        line = found.setdefault(key, {})
        if not training:
            line[float(row["round"])] = float(row["value"])
            continue
        stage, before = stages.get(key, (row["stage"], 0.0))
        if stage != row["stage"]:
            before = max(line, default=0.0)
        stages[key] = (row["stage"], before)
        line[before + float(row["step"])] = float(row["value"])
    yield from found.items()


def rows(path: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the lines that tell how training went; none where a file is missing or cut short from there on."""
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        # Most lines are test values: told by their text, ten times quicker than by parsing them.
        if '"split": "test"' in line or '"stage": "evaluate"' in line:
            continue
        try:
            row = json.loads(line)
        except ValueError:
            return
        if isinstance(row, dict) and {"split", "stage", "method", "metric", "value", "round", "step"} <= row.keys():
            yield row
