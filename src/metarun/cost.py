"""What a run's results took: steps and seconds of every method, parameters, labels."""

from __future__ import annotations

import re
from typing import Any

from metarun import build
from metarun.pipeline import RETRAINED, Pipeline

Cost = dict[str, dict[str, float]]


def cost(pipeline: Pipeline, judging: dict[str, float]) -> Cost:
    """Return {method: {"seconds", "steps"}} of every judged method, and of "pretrain", which they all start from.

    A method's own are the stages without which it could not be judged, pretraining apart, and its judging: for what the
    loop of strategies ends with these are all stages of the loop, for any other the one stage that it has to itself.
    Seconds are wall time, earlier attempts included. judging: the seconds of that by method.
    """
    stages = {method: [own for own in pipeline.used if belongs(own, method)] for method in judging}
    loop = [key for key in pipeline.used if re.match(r"\d+-(?!pretrain)", key)]
    found: Cost = {"pretrain": total(pipeline, [key for key in pipeline.used if key.endswith("-pretrain")])}
    for method, own in stages.items():
        chained = not own and not method.startswith("baseline/")
        found[method] = total(pipeline, loop if chained else own, judging[method])
    return found


def belongs(stage: str, method: str) -> bool:
    """Return whether a stage serves one method alone.

    >>> belongs("own-online-sgd", "online/sgd"), belongs("own-2-retrain", "baseline/retrained"), belongs("1-meta", "x")
    (True, True, False)
    """
    again = method == RETRAINED and stage.endswith("-retrain")
    return again or stage == f"own-{method.replace('/', '-')}"


def total(pipeline: Pipeline, stages: list[str], judging: float = 0.0) -> dict[str, float]:
    """Return the steps and seconds of some stages and of judging."""
    steps, seconds = (sum(pipeline.used[stage][place] for stage in stages) for place in (0, 1))
    return {"seconds": round(seconds + judging, 3), "steps": steps}


def model_facts(pipeline: Pipeline) -> dict[str, Any]:
    """Return the manifest's "model".

    parameters: of the model, its tables included. learned: by method, what its meta-update trains, by an outer loss.
    labels: the ratings that training reads, each once: those that pretraining saw and those of the training tasks.
    """
    cfg, data = pipeline.cfg, pipeline.data
    model = build.model(cfg, data.spec)
    learned = {}
    for method in build.methods(cfg):
        if method.startswith("meta/"):
            rule = build.rule(cfg, method, build.model(cfg, data.spec))
            learned[method] = sum(p.numel() for p in rule.parameters() if p.requires_grad)
    rounds, again = cfg.pipeline.rounds, cfg.pipeline.repretrain == "each_round"
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return {"parameters": parameters, "learned": learned, "labels": data.labels_used(rounds, again)}
