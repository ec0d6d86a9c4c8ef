"""Answers made by hand: six films, two tastes, any strategy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from metarun import store
from metarun.answers import rebuild
from metarun.answers.api import Answers
from metarun.answers.export import fingerprint
from metarun.answers.rebuild import FORMAT
from metarun.model import Spec

TITLES = ["Alien (1979)", "Matrix, The (1999)", "Emma (1996)", "Emma (2020)", "Blade Runner (1982)", "Heat (1995)"]
IDS = [1, 2, 5, 8, 13, 21]
VECTORS = torch.tensor([[1.0, 0.1], [0.9, 0.0], [-0.8, 0.5], [-1.0, 0.4], [1.1, -0.1], [0.1, -0.9]])
BIAS = torch.tensor([0.3, 0.4, 0.1, -0.1, 0.35, 0.0])
GRADIENT = "metarun.strategies.gradient.Gradient"
STRATEGIES: dict[str, dict[str, Any]] = {
    "ridge": {
        "_target_": "metarun.strategies.transfer.ridge.Ridge", "penalty": 1.0, "bias_penalty": 2.0, "towards": "start",
    },
    "maml": {"_target_": GRADIENT, "steps": 3, "inner_lr": 0.1, "shrink": 2.0},
    "sgd": {"_target_": GRADIENT, "steps": 1, "inner_lr": 0.1, "chunk": 1},
    "all": {"_target_": GRADIENT, "steps": 2, "inner_lr": 0.1, "moves": "all"},
    "bias": {"_target_": "metarun.strategies.baseline.bias.Bias", "items": True, "support": True, "damping": 2.0},
    "fixed_share": {
        "_target_": "metarun.strategies.adaptive.fixed_share.FixedShare", "rates": [0.01, 0.1], "share": 0.05,
        "temperature": 1.0, "rule": {"_target_": GRADIENT, "_partial_": True, "steps": 1},
    },
}  # fmt: skip


def content(strategy: str = "ridge", ids: list[Any] = IDS, ranks: bool = False, **changes: Any) -> dict[str, Any]:
    """Return what a run would export."""
    objective: dict[str, Any] = {"_target_": "metarun.objectives.squared.Squared"}
    if ranks:
        path = "metarun.objectives.ranking.Ranking"
        objective = {"_target_": path, "loss": "softmax", "negatives": 3, "unobserved": 0.1}
    nodes = {
        "backbone": {"_target_": "metarun.backbones.mf.MatrixFactorisation", "dim": 2, "bias": not ranks},
        "head": {"_target_": "metarun.heads.linear.Linear"},
        "objective": objective,
        "strategy": STRATEGIES[strategy],
    }
    spec = Spec({"item": len(ids), "user": 9}, {"item": torch.zeros(len(ids), 0)}, 0)
    backbone = rebuild.make(nodes["backbone"], "backbone", spec=spec)
    head = rebuild.make(nodes["head"], "head", backbone=backbone, spec=spec)
    model = rebuild.Model(backbone, head, rebuild.make(nodes["objective"], "objective"))
    with torch.no_grad():
        backbone.vectors.weight.copy_(VECTORS)
        head.weight[0] = 0.1
        if backbone.item_bias is not None:
            backbone.item_bias.copy_(BIAS)
            backbone.mean.fill_(3.2)
    rule = rebuild.make(nodes["strategy"], "strategy", model=model)
    if strategy == "bias":
        rule.mean, rule.bias = torch.tensor(3.2), BIAS.clone()
    state = {name: value.detach().clone() for name, value in rule.state_dict().items()}
    made = {
        "format": FORMAT, "metarun": "0", "run": "made/0", "dataset": "films", "synthetic": True, "method": strategy,
        "seed": 0, "nodes": nodes, "chosen": {}, "error": 0.9, "rule": state,
        "spec": {"sizes": spec.sizes, "tables": spec.tables, "context": 0, "outputs": 1},
        "item_ids": list(ids), "titles": TITLES, "item_feature_names": [], "user_feature_names": [],
        "context": torch.zeros(0), "scale": [0.5, 5.0, 0.5], "positive": None,
        "popularity": torch.full((len(ids),), 100, dtype=torch.int32), "fingerprint": fingerprint(state),
    }  # fmt: skip
    return made | changes


def answers(strategy: str = "ridge", **changes: Any) -> Answers:
    """Return answers that were never written."""
    return Answers(content(strategy, **changes), Path("nowhere/answers.ckpt"))


def run(folder: Path, strategy: str = "ridge", **changes: Any) -> Path:
    """Return a finished run's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    store.write(folder / "answers.ckpt", content(strategy, **changes))
    (folder / "summary.json").write_text("{}")
    return folder
