"""Every method that can carry interactions is prepared, learns and is judged by lists of the catalogue."""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_run import SMALL, attempt, folder_of
from toys import ITEMS, RANKS, Toy, composed, needs, ranking, ratings

from metarun import build
from metarun.evaluate import Judge
from metarun.pairs import RETRAINED
from metarun.rule import Rule
from metarun.tasks import encode, outer

METHODS = ranking()


@cache
def toy() -> Toy:
    given = ratings(users=80, items=ITEMS, least=12, most=22)
    return Toy(given, negatives=2, positive=1.0, supports=(0, 2, 5), queries=4)


def prepared(method: str) -> Rule:
    cfg = composed(*RANKS)
    made = build.rule(cfg, method, build.model(cfg, toy().spec))
    every = toy().training_users(1, toy().rounds, everyone=made.everyone)
    with torch.no_grad():
        tasks = (toy().training_task(users) for users in every)
        made.prepare(encode(made, task) if made.sees == "features" else task for task in tasks)
    return made


def test_what_needs_interactions_ranks_and_what_needs_ratings_does_not() -> None:
    assert {"meta/maml", "transfer/ridge", "baseline/ease", "meta/ials"} <= set(METHODS)
    assert not any("ratings" in needs(method) for method in METHODS)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_makes_lists_of_unseen_items(method: str) -> None:
    made = prepared(method)
    loss = outer(made, toy().train_tasks(1, toy().rounds, 0).batch(torch.arange(16))).mean() + made.regulariser()
    assert loss.isfinite()
    if method.startswith("meta/"):
        loss.backward()
        moved = [p.grad for p in made.parameters() if p.grad is not None]
        assert all(g.isfinite().all() for g in moved)
        assert any(g.abs().max() > 0 for g in moved)
    made.requires_grad_(False)
    judge = Judge(toy(), metric="ndcg", validation_tasks=8, stream_rows=1, chunk=7, vmapped=True, rank_at=5)
    choices = judge.tune(made)
    assert all(-1 <= choice.value <= 0 for choice in choices.values())
    users = toy().tasks("test").user.numpy()
    scores = judge.test(made, method, choices)
    assert {score.support for score in scores} == {0, 2, 5}
    assert {score.metric for score in scores} >= {"ndcg@5", "recall@5", "precision@5", "coverage@5"}
    for score in scores:
        assert (score.protocol, score.method) == ("full", method)
        assert np.isfinite(score.values).all()
        assert score.values.min() >= 0
        assert score.values.max() <= 1
        assert score.metric == "coverage@5" or np.array_equal(score.ids, users)


CHAINS = {
    "softmax": ["transfer/finetune", "adaptive/fixed_share", "online/sgd", "meta/maml"],
    "bpr": ["transfer/ridge", "meta/update_rule"],
    "implicit": ["transfer/ials", "meta/ials"],
}
AGAINST = [method for method in METHODS if method.startswith("baseline/") and method != RETRAINED] + [
    "meta/ridge",
    "adaptive/learned_share",
]


def test_whole_runs_leave_out_only_what_needs_time() -> None:
    kin = {f"meta/{name}" for name in ("anil", "curvature", "fomaml", "mamlplusplus", "metasgd", "reptile")}  # of MAML
    assert set(METHODS) - kin == {*AGAINST, *(method for chain in CHAINS.values() for method in chain), RETRAINED}


@pytest.mark.parametrize(
    "loss", [loss if loss == "implicit" else pytest.param(loss, marks=pytest.mark.nightly) for loss in CHAINS]
)
def test_whole_runs(loss: str, few_ratings: Path, tmp_path: Path) -> None:
    words = [*SMALL, *RANKS, f"objective.loss={loss}", "dataset.positive=4", "pretrain=ranking", "evaluate.rank_at=5"]
    words += [f"strategy=[{','.join(CHAINS[loss])}]", f"evaluate.against=[{','.join(AGAINST)}]", "dataset.queries=3"]
    words += [f"paths.data={few_ratings}", f"paths.outputs={tmp_path}/outputs"]
    assert attempt(words, tmp_path) == 0
    summary = json.loads((folder_of(tmp_path) / "summary.json").read_text(encoding="utf-8"))
    assert summary["winner"] in CHAINS[loss]
    cold = summary["test"]["user-cold"]["5"]
    for method in (*CHAINS[loss], *AGAINST, "baseline/random", "baseline/oracle"):
        assert 0 <= cold[method]["ndcg@5"]["value"] <= 1, method
        assert math.isfinite(cold[method]["ndcg@5"]["ci95"])
    lines = [json.loads(line) for line in (folder_of(tmp_path) / "metrics.jsonl").read_text().splitlines()]
    places = [(line["cell"], line["support"]) for line in lines if line["metric"] == "hit@5" and _is_popularity(line)]
    # as a method that was named in the cell, as a reference on known users; once everywhere
    assert sorted(places, key=str) == sorted([*(("user-cold", s) for s in (0, 1, 3, 5)), ("warm", None)], key=str)


def _is_popularity(line: dict[str, Any]) -> bool:
    return (line["split"], line["method"]) == ("test", "baseline/popularity")
