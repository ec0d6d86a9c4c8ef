"""The end of a run over a stream of rows: every method has followed it, and what they were worth is written."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig

from metarun import build, smoke
from metarun.contest import enter
from metarun.cost import model_facts
from metarun.evaluate import Judge
from metarun.following import POINTS, Followed, everyone
from metarun.manifest import FORMAT
from metarun.metrics import prequential
from metarun.metrics.interval import paired
from metarun.pipeline import Pipeline, Product
from metarun.report import stream_plot, summary
from metarun.results import SUMMARY, Score, finite, reported, rows, write_json, write_values
from metarun.stages.stream import marks
from metarun.watch import Watch

CELL = "stream"
Array = NDArray[np.float64]


def contest(
    cfg: DictConfig, data: Any, judge: Judge, folder: Path, described: dict[str, Any], began: float, watch: Watch
) -> dict[str, Any]:
    """Let every method follow the stream and write the run's results; return its summary."""
    pipeline = Pipeline(cfg, data, folder, judge, watch)
    found, products = everyone(pipeline)
    scores = [score for name, one in found.items() for score in scored(cfg, data, name, one)]
    result = assemble(pipeline, described, found, scores)
    if cfg.evaluate.tasks:
        scores += as_tasks(pipeline, products, result)
    result["seconds"] = round(time.monotonic() - began, 1)
    lines = pipeline.store.rows() + rows(scores, cfg.pipeline.rounds, "evaluate", int(cfg.seed))
    write_values(folder, scores, lines)
    drawn = {name: curves(cfg, data, one) for name, one in found.items()}
    write_json(folder / "curves.json", drawn)
    stream_plot.stream_plot(result, drawn, folder / "stream.png")
    pipeline.watch.described(model_facts(pipeline))
    write_json(folder / SUMMARY, result)
    pipeline.watch.finished(folder, lines)
    return result


def as_tasks(pipeline: Pipeline, products: dict[str, Product], result: dict[str, Any]) -> list[Score]:
    """Judge every method that can on stretches of the stream as tasks; add them to the summary, return the scores."""
    chosen, scores = {}, []
    for method, product in products.items():
        if pipeline.ready(method, product).alone:
            continue
        chosen[method], found, _ = enter(pipeline, method, product)
        scores += found
    judge = pipeline.judge
    result |= {
        "cells": judge.cells, "unit": pipeline.data.unit, "protocol": judge.protocol.name, "tuned": chosen,
        "test": summary.support_values(scores), "validation_tasks": judge.validation_users(),
        "paired": summary.paired_values(scores, result["reference"], judge.metric, judge.cells),
        "trials": {m: max((c["trials"] for c in choices.values()), default=0) for m, choices in chosen.items()},
    }  # fmt: skip
    return scores


def scored(cfg: DictConfig, data: Any, name: str, one: Followed) -> list[Score]:
    """Return what a method was worth in equal blocks of rows; of what mixes policies also the best and their mean."""
    edges = blocks(cfg, len(one.losses))
    ids = np.arange(len(edges) - 1)
    columns = {name: one.losses}
    scores = [
        Score("test", protocol(cfg, data), method, CELL, None, metric, ids, each)
        for method, values in columns.items()
        for metric, each in in_blocks(data, values, edges).items()
    ]
    if "loss" in one.told and len(one.names) > 1:
        sums = policies(one)
        best = int(np.nan_to_num(sums["loss"][-1, :-1], nan=np.inf).argmin())
        place = np.searchsorted(one.marks, one.marks[0] + edges)
        count = in_blocks(data, one.losses, edges)["rows"]
        for method, column in ((f"hindsight/{name}", best), (f"uniform/{name}", -1)):
            for metric, total in told_metrics(data, sums).items():
                each = np.diff(total[place, column]) / count
                scores.append(Score("test", protocol(cfg, data), method, CELL, None, metric, ids, each))
            scores.append(Score("test", protocol(cfg, data), method, CELL, None, "rows", ids, count))
    return scores


def policies(one: Followed) -> dict[str, Array]:
    """Return cumulated losses and hits (marks, P + 1) of the policies and of their uniform mixture."""
    return {name: one.told[name].double().numpy() for name in ("loss", "hits")}


def told_metrics(data: Any, sums: dict[str, Array]) -> dict[str, Array]:
    """Return the cumulated metrics that policies tell of."""
    if data.found.classes:
        return {"accuracy": sums["hits"], "log_loss": sums["loss"]}
    return {"squared_error": sums["loss"]}


def blocks(cfg: DictConfig, total: int) -> NDArray[np.int64]:
    """Return the edges of equal blocks, each of which is a mark of the curve as well."""
    known = marks(0, total, int(cfg.evaluate.stream_chunk), POINTS)
    number = min(int(cfg.evaluate.stream_blocks), len(known) - 1)
    return np.asarray(known[np.linspace(0, len(known) - 1, number + 1).round().astype(int)])


def in_blocks(data: Any, losses: NDArray[np.float32], edges: NDArray[np.int64]) -> dict[str, Array]:
    """Return each metric in each block, and how many rows had a label."""
    names = ("log_loss", "accuracy") if data.found.classes else ("squared_error", "absolute_error")
    known = np.array([np.isfinite(losses[a:b, 1]).sum() for a, b in pairwise(edges)], dtype=float)
    found: dict[str, Array] = {}
    for column, name in enumerate(names):
        sums = [np.nansum(losses[a:b, column], dtype=float) for a, b in pairwise(edges)]
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.array(sums) / known
        found[name] = 1 - mean if name == "accuracy" else mean
    return {**found, "rows": known}


def protocol(cfg: DictConfig, data: Any) -> str:
    """Return the protocol's name, which says how many rows come at once, how late labels are, and what is scored."""
    delay = "never" if cfg.evaluate.delay is None else cfg.evaluate.delay
    return f"prequential/chunk={cfg.evaluate.stream_chunk}/delay={delay}/from={data.opening}"


def assemble(
    pipeline: Pipeline, described: dict[str, Any], found: dict[str, Followed], scores: list[Score]
) -> dict[str, Any]:
    """Return summary.json without its time."""
    cfg, data = pipeline.cfg, pipeline.data
    chain = build.strategies(cfg)
    per_block = {score.method: values for score, metric, values in reported(scores) if metric == cfg.evaluate.metric}
    reference = cfg.evaluate.reference
    total = len(next(iter(found.values())).losses)
    edges = blocks(cfg, total)
    return {
        "format": FORMAT,
        "name": cfg.name,
        "run_id": pipeline.folder.name,
        "dataset": described["name"],
        "synthetic": described["synthetic"],
        "metric": cfg.evaluate.metric,
        "reference": reference,
        "chain": chain,
        # Nothing is chosen on a stream: it is what follows it, of the run's own strategies.
        "winner": next((name for name in chain if not name.startswith("meta/")), chain[-1] if chain else None),
        "setting": {**data.setting, "seed": cfg.seed, **smoke.setting(cfg)},
        "validation": {},
        "test": {},
        "paired": {},
        "ranking": {},
        "stream": summary.stream_values(scores),
        "pass": {
            "protocol": protocol(cfg, data),
            "unit": "rows",
            "ratings": data.opening + total,
            "opening": data.opening,
            "blocks": len(edges) - 1,
            "paired": {m: difference(v, per_block[reference], cfg.evaluate.metric)
                       for m, v in per_block.items() if m != reference},
            "by_block": {m: [finite(value) for value in values[:, 0]] for m, values in per_block.items()},
            "more": {name: more(cfg, data, found, name) for name in found},
            "drifts": data.truth["drifts"],
        },
        "tuned": {},
        "trials": dict.fromkeys(found, 1),
        "validation_tasks": 0,
        "optimiser_steps": pipeline.steps,
        "cost": {name: {"seconds": round(one.seconds, 3), "steps": total} for name, one in found.items()},
        "folder": str(pipeline.folder),
        "warnings": pipeline.notes + data.left_out(),
    }  # fmt: skip


def difference(a: Any, b: Any, metric: str) -> dict[str, Any]:
    """Return a - b over the same blocks, with its interval, as JSON."""
    estimate = paired(a, b, metric)
    return {"difference": finite(estimate.value), "ci95": finite(estimate.ci95), "n": estimate.n}


def more(cfg: DictConfig, data: Any, found: dict[str, Followed], name: str) -> dict[str, Any]:
    """Return what is told of a method beside its means: fading error, Kappa-T, regrets, recovery, alarms."""
    one, column = found[name], 1
    error = np.asarray(one.losses[:, column], dtype=float)
    last = np.array([len(error) - 1])
    drifts = [row - data.opening for row in data.truth["drifts"] if row - data.opening < len(error)]
    back = prequential.recovery(error, drifts, cfg.evaluate.window, cfg.evaluate.tolerance)
    known = [rows for rows in back if rows is not None]
    values: dict[str, Any] = {
        "fading": finite(prequential.fading(error, cfg.evaluate.fading, last)[0]),
        "alarms": len(one.alarms),
        "recovery": finite(float(np.median(known))) if known else None,
        "never": len(back) - len(known) if back else None,
    }
    if "baseline/last_label" in found and data.found.classes:
        other = found["baseline/last_label"].losses[:, column]
        values["kappa_t"] = finite(
            prequential.kappa_temporal(1 - float(np.nanmean(error)), 1 - float(np.nanmean(other)))
        )
    if "loss" in one.told and len(one.names) > 1:
        each = policies(one)["loss"][:, :-1]
        own = float(np.nansum(one.losses[:, 0], dtype=float))
        switches = len(drifts) or cfg.evaluate.switches
        best = int(np.nan_to_num(each[-1], nan=np.inf).argmin())
        values |= {
            "static_regret": finite(own - float(each[-1, best])),
            "tracking_regret": finite(own - prequential.tracking(np.diff(each, axis=0), switches)),
            "switches": switches,
            "best_policy": one.names[best],
        }
    return values


def curves(cfg: DictConfig, data: Any, one: Followed) -> dict[str, Any]:
    """Return what is drawn of a method: its error over a window at the marks, its trust, its alarms."""
    at = np.unique(np.clip(one.marks[1:] - one.marks[0] - 1, 0, len(one.losses) - 1))
    column = 1 if data.found.classes else 0
    error = prequential.windowed(np.asarray(one.losses[:, column], dtype=float), cfg.evaluate.window, at)
    found: dict[str, Any] = {"row": (at + one.marks[0]).tolist(), "error": [finite(value) for value in error]}
    if "trust" in one.told and len(one.names) > 1:
        found |= {"policies": one.names, "trust": np.round(one.told["trust"][1:].double().numpy(), 5).tolist()}
    return {**found, "alarms": one.alarms}
