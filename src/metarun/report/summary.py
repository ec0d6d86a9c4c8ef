"""The parts of summary.json that come from the scores of the test tasks; everything in it is JSON.

    {"name", "run_id", "dataset", "synthetic", "metric": "rmse", "winner": "meta/ridge", "reference": "baseline/ridge",
     "setting": {"split": "cold", "split_seed": 0, "seed": 0, ...},        # printed under every table
     "validation": {method: value},
     "test": {cell: {support: {method: {metric: {"value", "ci95", "n"}}}}},
     "cells": [cell, ...], "unit": "users",                                # unseen ones, the first names the winner
     "paired": {cell: {support: {method: {"difference", "ci95", "n", "against"}}}},
     "ranking": {protocol: {method: {metric: {"value", "ci95", "n"}, "lift": {"value", "ci95", "n"}}}},
     "stream": {protocol: {method: {metric: entry}}},
     "trials": {method: int}, "validation_tasks": int, "tuned", "folder", "seconds", "warnings"}

Support sizes are strings, as JSON has them; a value that is infinite or not a number is null.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from metarun.metrics.interval import Estimate, estimate
from metarun.metrics.lift import lift
from metarun.report.notation import last
from metarun.results import Score, difference, finite, reported

RANKING = ("rated-only", "full", "sampled")
STREAM = "prequential"
Entry = dict[str, Any]


def support_values(scores: Iterable[Score], protocol: str = "tasks") -> dict[str, Any]:
    """Return {cell: {support: {method: {metric: entry}}}} of the test scores with a support size under `protocol`."""
    table: dict[str, Any] = {}
    for score, metric, values in reported(score for score in scores if _is_test(score, protocol)):
        methods = table.setdefault(score.cell, {}).setdefault(str(score.support), {})
        methods.setdefault(score.method, {})[metric] = entry(estimate(values, metric))
    return {cell: dict(sorted(sizes.items(), key=lambda item: int(item[0]))) for cell, sizes in table.items()}


def paired_values(
    scores: Iterable[Score],
    against: str,
    metric: str = "rmse",
    cells: Sequence[str] = ("user-cold",),
    protocol: str = "tasks",
) -> dict[str, Any]:
    """Return {cell: {support: {method: difference to `against`}}} on the same test tasks, where `against` was judged.

    Raises ValueError where a method was judged on other tasks than `against`.
    """
    stored = "mse" if metric == "rmse" else metric
    kept = [s for s in scores if _is_test(s, protocol) and s.cell in cells and s.metric == stored]
    references = {(s.cell, s.support): s for s in kept if s.method == against}
    table: dict[str, Any] = {}
    for score in sorted(kept, key=lambda s: s.support or 0):
        reference = references.get((score.cell, score.support))
        if reference is not None and score.method != against:
            found = difference(score, reference)
            pair = {"difference": finite(found.value), "ci95": finite(found.ci95), "n": found.n, "against": against}
            table.setdefault(score.cell, {}).setdefault(str(score.support), {})[score.method] = pair
    return table


def ranking_values(scores: Iterable[Score]) -> dict[str, Any]:
    """Return {protocol: {method: {metric: entry}}} of the rankings of known users, with the lift of F1.

    Raises ValueError where a method stands twice under one protocol (two cells or support sizes).
    """
    table: dict[str, Any] = {}
    places: dict[tuple[str, str], object] = {}
    known = [score for score in scores if score.split == "test" and score.support is None]
    for score, metric, values in reported(score for score in known if score.protocol.split("/")[0] in RANKING):
        place = (score.cell, score.support)
        if places.setdefault((score.protocol, score.method), place) != place:
            raise ValueError(f"{score.method} is judged twice under {score.protocol}")
        methods = table.setdefault(score.protocol, {})
        methods.setdefault(score.method, {})[metric] = entry(estimate(values, metric))
    for methods in table.values():
        _add_lift(methods)
    return table


def stream_values(scores: Iterable[Score]) -> dict[str, Any]:
    """Return {protocol: {method: {metric: entry}}} of the prequential test scores."""
    table: dict[str, Any] = {}
    ours = [score for score in scores if score.split == "test" and score.protocol.split("/")[0] == STREAM]
    for score, metric, values in reported(ours):
        table.setdefault(score.protocol, {}).setdefault(score.method, {})[metric] = entry(estimate(values, metric))
    return table


def entry(found: Estimate) -> Entry:
    """Return an estimate as JSON."""
    return {"value": finite(found.value), "ci95": finite(found.ci95), "n": found.n}


def _is_test(score: Score, protocol: str) -> bool:
    """Return whether a score belongs in a table by support size."""
    return score.split == "test" and score.support is not None and score.protocol.split("/")[0] == protocol


def _add_lift(methods: dict[str, dict[str, Entry]]) -> None:
    """Add (model - random) / (oracle - random) of F1 wherever random and oracle stand beside the models."""
    named = {last(method): metrics for method, metrics in methods.items()}
    f1 = next((metric for metrics in methods.values() for metric in metrics if metric.startswith("f1@")), None)
    if f1 is None or "random" not in named or "oracle" not in named:
        return
    random, oracle = (_value(named[name].get(f1)) for name in ("random", "oracle"))
    for metrics in methods.values():
        found = lift(_value(metrics.get(f1)), random, oracle)
        metrics["lift"] = {"value": finite(found), "ci95": None, "n": metrics[f1]["n"] if f1 in metrics else 0}


def _value(found: Mapping[str, Any] | None) -> float:
    """Return an entry's value, nan where there is none."""
    value = found["value"] if found else None
    return math.nan if value is None else float(value)
