"""The end of a run: every method chooses on validation, is read once on test, and the results are written."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from metarun import build, smoke
from metarun.answers import export
from metarun.cost import cost, model_facts
from metarun.evaluate import STREAM, Choice, Judge
from metarun.manifest import FORMAT
from metarun.model import Model
from metarun.pipeline import Pipeline, Product
from metarun.report import plots, summary
from metarun.results import (
    KEYS,
    SUMMARY,
    Score,
    load_scores,
    read_json,
    rows,
    save_scores,
    write_json,
    write_values,
)  # fmt: skip
from metarun.rule import Batch, Rule, State

SCORES, CHOICES = "scores.npz", "choices.json"


class Known(Rule):
    """A user whom pretraining saw, with the weight that pretraining found for them; or the one classifier it found."""

    def __init__(self, model: Model, users: Tensor) -> None:
        """users: weights by key, (U, D) or (U, D, C)."""
        super().__init__(model)
        self.users = nn.Buffer(users if users.ndim == 3 else users[..., None])

    @property
    def sees(self) -> str:
        """The head alone differs between users."""
        return "features"

    def init(self, context: dict[str, Tensor]) -> State:
        """Return the user's own weight."""
        return {"weight": self.users[context["key"]]}

    def update(self, state: State, batch: Batch) -> State:
        """Return the state as it is: these ratings are known already."""
        return state

    def predict(self, state: State, x: Tensor) -> Tensor:
        """Return outputs (B, C)."""
        out: Tensor = self.model.head(state["weight"], x)
        return out


def contest(
    pipeline: Pipeline, products: dict[str, Product], described: dict[str, Any], seconds: float
) -> dict[str, Any]:
    """Judge all products and write the run's results; return its summary."""
    cfg, folder, judge = pipeline.cfg, pipeline.folder, pipeline.judge
    chosen: dict[str, dict[str, Any]] = {}
    scores: list[Score] = []
    judging: dict[str, float] = {}
    for number, (method, product) in enumerate(products.items(), 1):
        pipeline.watch.judging(method, number, len(products))
        chosen[method], found, judging[method] = enter(pipeline, method, product)
        scores += found
    pipeline.watch.judging("known users and references", len(products), len(products))
    scores += known_users(pipeline)
    judged = {score.place for score in scores}  # baseline/popularity may have been named as a method
    references = judge.references(list(cfg.evaluate.thresholds), cfg.evaluate.rank_at)
    scores += [score for score in references if score.place not in judged]
    pipeline.watch.say(f"judged {len(products)} methods in {sum(judging.values()):.1f} s")
    result = assemble(pipeline, described, chosen, scores)
    result["seconds"] = round(seconds, 1)
    result["cost"] = cost(pipeline, judging)
    lines = pipeline.store.rows() + test_rows(pipeline, chosen, scores)
    write_values(folder, scores, lines)
    if any(cell in result["test"] for cell in judge.cells[:1]):
        plots.support_plot(result, folder / "error_by_support.png")
    export.write(pipeline, products, chosen, result)
    pipeline.watch.described(model_facts(pipeline))
    write_json(folder / SUMMARY, result)
    pipeline.watch.finished(folder, lines)
    return result


def enter(pipeline: Pipeline, method: str, product: Product) -> tuple[dict[str, Any], list[Score], float]:
    """Judge one method and return its choices, scores and the seconds that this took.

    What it found is kept, so that a run that is taken up reads no test task twice.
    """
    place, began = pipeline.store.place(f"evaluate-{method.replace('/', '-')}"), time.monotonic()
    if (place / CHOICES).exists():
        kept = read_json(place / CHOICES)
        return kept["choices"], load_scores(place / SCORES), kept["seconds"]
    cfg, judge = pipeline.cfg, pipeline.judge
    rule = pipeline.ready(method, product)
    scores: list[Score] = []
    choices: dict[str, Any] = {}
    point: dict[str, float] = {}  # without validation tasks the values of the config stand
    for cell in reversed(judge.cells):
        tuned = judge.tune(rule, cell)
        scores += judge.test(rule, method, tuned, cell)
        choices |= {place_of(judge, cell, s): described_choice(rule, choice, judge) for s, choice in tuned.items()}
        point = tuned[judge.supports[-1]].point
    if not judge.cells and judge.lists and rule.tune and (choice := judge.tune_known(rule)):
        choices["warm"], point = described_choice(rule, choice, judge), choice.point
    if not (judge.lists and judge.cells):  # lists of known users are made from all their rows, by what can take them
        scores += judge.warm(rule, method, point, list(cfg.evaluate.thresholds), cfg.evaluate.rank_at)
    if cfg.evaluate.prequential:
        choice = judge.tune_stream(rule)
        choices["stream"] = described_choice(rule, choice, judge)
        scores += judge.test_stream(rule, method, choice.point)
        if method.startswith("online/"):
            scores += judge.hindsight(rule, method)
    place.mkdir(parents=True, exist_ok=True)
    save_scores(place / SCORES, scores)
    seconds = time.monotonic() - began
    write_json(place / CHOICES, {"choices": choices, "seconds": seconds})
    return choices, scores, seconds


def place_of(judge: Judge, cell: str | None, support: int | None) -> str:
    """Return the name of a choice: the support size, behind the cell's name except in the first cell."""
    return f"{support}" if cell in (None, *judge.cells[:1]) else f"{cell} {support}"


def described_choice(rule: Rule, choice: Choice, judge: Judge) -> dict[str, Any]:
    """Return a choice as JSON, its value in the run's metric."""
    value = judge.sign * choice.value if choice.value < float("inf") else None
    return {
        "grid": rule.tune or {},
        "chosen": choice.point,
        "edge": choice.edges,
        "value": value,
        "trials": choice.trials,
    }


def known_users(pipeline: Pipeline) -> list[Score]:
    """Return the scores of pretraining itself on the withheld ratings of the users that it saw."""
    cfg, data = pipeline.cfg, pipeline.data
    if data.warm_tasks() is None:
        return []
    found = pipeline.store.load(pipeline.source)
    assert found is not None
    model = build.model(cfg, data.spec)
    model.load_state_dict(found["model"])
    rule = Known(model, found["users"])
    name = next(o for o in cfg.composed.options if o.startswith("pretrain/"))
    return pipeline.judge.warm(rule, name, {}, list(cfg.evaluate.thresholds), cfg.evaluate.rank_at)


def assemble(
    pipeline: Pipeline, described: dict[str, Any], chosen: dict[str, Any], scores: list[Score]
) -> dict[str, Any]:
    """Return summary.json without its time."""
    cfg, judge = pipeline.cfg, pipeline.judge
    validation = {}
    for method, choices in chosen.items():
        values = [choice["value"] for key, choice in choices.items() if key.isdecimal()]  # of the first cell
        if values and None not in values:
            validation[method] = sum(values) / len(values)
    strategies = {m: v for m, v in validation.items() if not m.startswith("baseline/")}
    return {
        "format": FORMAT,
        "name": cfg.name,
        "run_id": Path(pipeline.folder).name,
        "dataset": described["name"],
        "synthetic": described["synthetic"],
        "metric": judge.metric,
        "reference": cfg.evaluate.reference,
        "chain": build.strategies(cfg),
        "winner": min(strategies, key=lambda m: judge.sign * strategies[m]) if strategies else None,
        "setting": {**pipeline.data.setting, **normalised(pipeline), "seed": cfg.seed, **smoke.setting(cfg)},
        "cells": judge.cells,
        "unit": pipeline.data.unit,
        "validation": validation,
        "protocol": judge.protocol.name,
        "test": summary.support_values(scores, judge.protocol.name.split("/")[0]),
        "paired": summary.paired_values(
            scores, cfg.evaluate.reference, judge.metric, judge.cells, judge.protocol.name.split("/")[0]
        ),
        "ranking": summary.ranking_values(scores),
        "stream": summary.stream_values(scores),
        "tuned": chosen,
        "trials": {m: max((c["trials"] for c in choices.values()), default=0) for m, choices in chosen.items()},
        "validation_tasks": judge.validation_users() if pipeline.data.cold else 0,
        "optimiser_steps": pipeline.steps,
        "folder": str(pipeline.folder),
        "warnings": pipeline.notes + pipeline.data.left_out() + edges(chosen),
    }


def edges(chosen: dict[str, Any]) -> list[str]:
    """Return one line per method and field whose chosen value lies on the edge of its grid; s = 0 has no choice."""
    found: dict[tuple[str, str], list[str]] = {}
    for method, choices in chosen.items():
        for support, choice in choices.items():
            for name in choice["edge"] if support.split()[-1] != "0" else []:
                found.setdefault((method, name), []).append(support)
    return [f"{m}: {name} on the edge of its grid at support {', '.join(at)}" for (m, name), at in found.items()]


def normalised(pipeline: Pipeline) -> dict[str, str]:
    """Return how features are normalised, in words, where the backbone can be asked."""
    spoken = getattr(build.model(pipeline.cfg, pipeline.data.spec).backbone, "spoken", None)
    return {} if spoken is None else {"normalisation": spoken}


def validation_row(pipeline: Pipeline, method: str, support: str, choice: dict[str, Any]) -> dict[str, Any]:
    """Return the line of metrics.jsonl of what validation tasks chose for a method at a support size or on streams."""
    judge, kind = pipeline.judge, support if support in ("stream", "warm") else "tasks"
    cell, size = (judge.cells[:1] + support.split())[-2:] if kind == "tasks" else ("warm", None)
    if kind == "stream":
        cell = judge.cells[0]
    users = judge.validation_users(cell) if kind == "tasks" else None
    values = (
        pipeline.cfg.pipeline.rounds, "evaluate", "validation", STREAM if kind == "stream" else judge.protocol.name,
        method, cell, size if size is None else int(size), pipeline.steps, judge.metric, choice["value"], None,
        users, int(pipeline.cfg.seed), choice["chosen"],
    )  # fmt: skip
    return dict(zip(KEYS, values, strict=True))


def test_rows(pipeline: Pipeline, chosen: dict[str, Any], scores: list[Score]) -> list[dict[str, Any]]:
    """Return the lines of metrics.jsonl of the test scores, with the values that each method was given."""
    lines: list[dict[str, Any]] = []
    for method, choices in chosen.items():
        for support, choice in choices.items():
            lines.append(validation_row(pipeline, method, support, choice))
    groups: dict[tuple[str, str | None], list[Score]] = {}
    for score in scores:
        key = None if score.support is None else place_of(pipeline.judge, score.cell, score.support)
        if score.protocol.startswith("prequential") or (score.cell == "warm" and pipeline.judge.lists):
            key = "stream" if score.protocol.startswith("prequential") else "warm"
        groups.setdefault((score.method, key), []).append(score)
    for (method, key), group in groups.items():
        params = chosen.get(method, {}).get(key or "", {}).get("chosen")
        lines += rows(group, pipeline.cfg.pipeline.rounds, "evaluate", int(pipeline.cfg.seed), params, pipeline.steps)
    return lines
