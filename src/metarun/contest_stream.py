"""One pass over the ratings of everybody in the order of time: every method predicts, is scored, then learns."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from metarun import build, smoke
from metarun.data.whole import WholeStream
from metarun.errors import MetarunError
from metarun.evaluate import grid
from metarun.manifest import FORMAT
from metarun.metrics.interval import paired
from metarun.report import block_plot, summary
from metarun.results import (
    KEYS,
    SUMMARY,
    Score,
    finite,
    reported,
    rows,
    write_json,
    write_values,
)  # fmt: skip
from metarun.stages.loop import fit
from metarun.stages.passes import METRICS, Pass
from metarun.store import Store
from metarun.tables import TableRule
from metarun.watch import Watch

CELL = "everybody"
EVALUATE = "evaluate"
Found = dict[str, Any]


def contest(
    cfg: DictConfig, data: Any, folder: Path, described: dict[str, Any], began: float, watch: Watch
) -> dict[str, Any]:
    """Let every method pass over the stream and write the run's results; return its summary."""
    if cfg.evaluate.metric not in ("rmse", "mae"):
        raise MetarunError(
            f"evaluate.metric={cfg.evaluate.metric}: dataset.split=stream predicts ratings; allowed are rmse and mae"
        )
    chosen = build.strategies(cfg)
    methods = list(dict.fromkeys([*chosen, *cfg.evaluate.against, cfg.evaluate.reference]))
    rules = {method: rule_of(cfg, method) for method in methods}  # a missing package is told before any work
    stream = WholeStream(data.ratings, cfg.evaluate.stream_start, cfg.evaluate.stream_blocks, cfg.trainer.steps)
    store = Store(folder / "checkpoints")
    watch.progress.expected = [key_of(method) for method in methods]
    found = {method: one_pass(cfg, data, stream, store, method, rule, watch) for method, rule in rules.items()}
    scores = [score for method in methods for score in scored(cfg, stream, method, found[method])]
    result = assemble(cfg, folder, stream, described, found, scores)
    result["seconds"] = round(time.monotonic() - began, 1)
    lines = store.rows()
    for method in dict.fromkeys(score.method for score in scores):
        params = found[method]["point"] if method in found else None
        group = [score for score in scores if score.method == method]
        lines += rows(group, 1, EVALUATE, int(cfg.seed), params, len(stream))
    write_values(folder, scores, lines)
    block_plot.block_plot(result, folder / "error_over_time.png")
    # A rule over a stream has tables instead of a model, and learns from every rating of it.
    watch.described({"parameters": None, "learned": {}, "labels": len(stream.user)})
    write_json(folder / SUMMARY, result)
    watch.finished(folder, lines)
    return result


def rule_of(cfg: DictConfig, method: str) -> TableRule:
    """Return a method's rule; raises MetarunError for one that is no rule over a stream of everybody's rows."""
    rule = build.rule(cfg, method, None)
    if not isinstance(rule, TableRule):
        raise MetarunError(
            f"{method}: a rule under dataset.split=stream is a metarun.tables.TableRule, not {type(rule).__name__}"
        )
    return rule


def key_of(method: str) -> str:
    """Return the name of the stage in which a method passes over the stream."""
    return f"pass-{method.replace('/', '-')}"


def one_pass(
    cfg: DictConfig, data: Any, stream: WholeStream, store: Store, method: str, rule: TableRule, watch: Watch
) -> Found:
    """Run one method over the stream, or load what its pass left."""
    key = key_of(method)
    found = store.load(key)
    if found is not None:
        watch.passed(key)
        return found
    points = grid(rule) if stream.opening else [{}]  # without rows that choose, the values of the config stand
    ratings = data.ratings
    context = {
        "users": ratings.n_users, "items": ratings.n_items, "scale": ratings.scale,
        "seed": int(cfg.seed), "points": points,
    }  # fmt: skip
    every = not method.startswith("baseline/")
    stage = Pass(rule, stream, context, cfg.evaluate.metric, every)
    family, steps = method.split("/")[0], len(stream)
    stage.rate_key = f"the rates among the fields of strategy.{family} (metarun show strategy/{method})"
    seconds = fit(
        stage, stream.batch, steps, store.place(key), method,
        trainer=cfg.trainer, save_every=cfg.pipeline.save_every, save_minutes=cfg.pipeline.save_minutes,
        callbacks=watch.follow(key, method, steps),
    )  # fmt: skip
    rate = round(len(stream.user) / seconds)
    point = points[stage.choice]
    found = {
        "point": point, "grid": rule.tune or {}, "trials": len(points), "seconds": seconds,
        "choice": stage.choice, "sums": stage.sums, "still": stage.still_sums if stage.still is not None else None,
        "tables": {} if rule.replays else rule.keep(stage.state, stage.choice if every else 0),
        "config": OmegaConf.to_container(cfg, resolve=True),
    }  # fmt: skip
    store.save(key, found, [opening_row(cfg, stream, method, found)] if stream.opening else [])
    value = finite(opening_value(cfg, stream, found)) if stream.opening else None
    if value is not None:
        watch.validated(key, len(stream), cfg.evaluate.metric, value)
    watch.passed(key, "" if value is None else f"{cfg.evaluate.metric} {value:.4f}")
    watch.say(f"{method}: {len(points)} settings side by side, {rate:,} rows a second")
    return found


def opening_value(cfg: DictConfig, stream: WholeStream, found: Found) -> float:
    """Return the run's metric of the chosen setting on the rows that chose it."""
    number = list(METRICS).index("mse" if cfg.evaluate.metric == "rmse" else cfg.evaluate.metric)
    mean = float(found["sums"][number, 0, found["choice"]]) / max(stream.opening, 1)
    return mean**0.5 if cfg.evaluate.metric == "rmse" else mean


def opening_row(cfg: DictConfig, stream: WholeStream, method: str, found: Found) -> dict[str, Any]:
    """Return the line of metrics.jsonl of what the rows before the first scored one chose."""
    values = (
        1, EVALUATE, "validation", protocol(cfg, "until"), method, CELL, None, len(stream), cfg.evaluate.metric,
        finite(opening_value(cfg, stream, found)), None, stream.opening, int(cfg.seed), found["point"],
    )  # fmt: skip
    return dict(zip(KEYS, values, strict=True))


def protocol(cfg: DictConfig, side: str = "from") -> str:
    """Return the protocol's name, which says what is scored."""
    return f"prequential/chunk=1/delay=0/{side}={float(cfg.evaluate.stream_start):g}"


def scored(cfg: DictConfig, stream: WholeStream, method: str, found: Found) -> list[Score]:
    """Return a method's error in every block; of a strategy also the best setting in hindsight and the one left alone.

    hindsight: the grid's best on the scored rows, a bound and not a method. frozen: not updated on them.
    """
    sums: Tensor = found["sums"]
    columns = {method: sums[..., found["choice"]]}
    if not method.startswith("baseline/"):
        number = list(METRICS).index("mse" if cfg.evaluate.metric == "rmse" else cfg.evaluate.metric)
        totals = sums[number, 1:].sum(0).nan_to_num(torch.inf, torch.inf)
        columns[f"hindsight/{method}"] = sums[..., int(totals.argmin())]
        if stream.opening:
            columns[f"frozen/{method}"] = found["still"][..., 0]
    count = stream.edges.diff().double()
    ids, scores = np.arange(len(count)), []
    for name, errors in columns.items():
        values = dict(zip(METRICS, errors[:, 1:] / count, strict=True)) | {"rows": count}
        for metric, each in values.items():
            scores.append(Score("test", protocol(cfg), name, CELL, None, metric, ids, each.numpy()))
    return scores


def assemble(
    cfg: DictConfig, folder: Path, stream: WholeStream, described: dict[str, Any], found: dict[str, Found],
    scores: list[Score],
) -> dict[str, Any]:  # fmt: skip
    """Return summary.json without its time."""
    blocks = {score.method: values for score, metric, values in reported(scores) if metric == cfg.evaluate.metric}
    reference = cfg.evaluate.reference
    validation = {method: finite(opening_value(cfg, stream, one)) for method, one in found.items()}
    strategies = {m: v for m, v in validation.items() if not m.startswith("baseline/") and v is not None}
    tuned = {m: {"stream": choice(one, validation[m])} for m, one in found.items()}
    return {
        "format": FORMAT,
        "name": cfg.name,
        "run_id": folder.name,
        "dataset": described["name"],
        "synthetic": described["synthetic"],
        "metric": cfg.evaluate.metric,
        "reference": reference,
        "winner": min(strategies, key=lambda m: strategies[m]) if strategies else None,
        "setting": {"split": cfg.dataset.split, "seed": cfg.seed, **smoke.setting(cfg)},
        "validation": validation if stream.opening else {},
        "test": {},
        "paired": {},
        "ranking": {},
        "stream": summary.stream_values(scores),
        "pass": {
            "protocol": protocol(cfg),
            "ratings": len(stream.user),
            "opening": stream.opening,
            "blocks": len(stream.edges) - 1,
            "paired": {m: difference(v, blocks[reference], cfg.evaluate.metric) for m, v in blocks.items()
                       if m != reference},
            "by_block": {method: per_block(values, cfg.evaluate.metric) for method, values in blocks.items()},
        },
        "tuned": tuned,
        "trials": {method: one["trials"] for method, one in found.items()},
        "validation_tasks": 0,
        "optimiser_steps": len(stream) * len(found),
        "cost": {method: {"seconds": round(one["seconds"], 3), "steps": len(stream)} for method, one in found.items()},
        "folder": str(folder),
        "warnings": smoke.warning(cfg) + edges(tuned),
    }  # fmt: skip


def difference(a: Any, b: Any, metric: str) -> dict[str, Any]:
    """Return a - b over the same blocks, with its interval, as JSON."""
    estimate = paired(a, b, metric)
    return {"difference": finite(estimate.value), "ci95": finite(estimate.ci95), "n": estimate.n}


def per_block(values: Any, metric: str) -> list[float | None]:
    """Return the run's metric in every block from (blocks, 2), error and rows."""
    return [finite(value**0.5 if metric == "rmse" else value) for value in values[:, 0]]


def choice(found: Found, value: float | None) -> dict[str, Any]:
    """Return what the rows before the first scored one chose, as JSON."""
    edge = [
        name
        for name, options in found["grid"].items()
        if len(options) > 1 and found["point"].get(name) in (min(options), max(options))
    ]
    named = ("grid", "point", "trials")
    return dict(zip(("grid", "chosen", "trials"), (found[n] for n in named), strict=True)) | {
        "edge": edge,
        "value": value,
    }


def edges(tuned: dict[str, Any]) -> list[str]:
    """Return one line per method and field whose chosen value lies on the edge of its grid."""
    return [f"{m}: {name} on the edge of its grid" for m, one in tuned.items() for name in one["stream"]["edge"]]
