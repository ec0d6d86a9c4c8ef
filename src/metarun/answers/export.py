"""What a finished run leaves to answer with: one file of plain values and tensors, no training ratings."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import Tensor

import metarun
from metarun import options, store
from metarun.answers.locate import ANSWERS, ARRAYS
from metarun.answers.packed import pack
from metarun.answers.rebuild import FORMAT
from metarun.config import load_option, strategies
from metarun.data.recommendation import Recommendation
from metarun.pipeline import Pipeline, Product


def write(pipeline: Pipeline, products: dict[str, Product], chosen: dict[str, Any], summary: dict[str, Any]) -> None:
    """Write RUN/answers.ckpt with the method that validation chose, or the reference where nothing was chosen.

    Episodes leave RUN/arrays.ckpt instead. Runs whose tasks are items leave none: their answers are not for people.
    """
    cfg, data = pipeline.cfg, pipeline.data
    method = summary["winner"] or summary["reference"]
    if cfg.dataset.get("tasks", "users") == "items" or method not in products:
        return
    rule = pipeline.ready(method, products[method])
    if getattr(rule, "pooled", 0):  # an estimator that holds training rows, which no answer carries
        return
    spec, state = data.spec, rule.state_dict()
    arrays = {"shape": tuple(spec.shape), "classes": spec.classes, "descriptions": spec.descriptions, "task": spec.task,
              "groups": dict(spec.groups), "shared": spec.shared, "vocabulary": spec.vocabulary,
              "inputs": dict(spec.inputs)}  # fmt: skip
    content = {
        "format": FORMAT,
        "metarun": metarun.__version__,
        "run": f"{cfg.name}/{Path(pipeline.folder).name}",
        "dataset": summary["dataset"],
        "synthetic": summary["synthetic"],
        "method": method,
        "seed": int(cfg.seed),
        "nodes": {**{k: plain(cfg[k]) for k in ("backbone", "head", "objective")}, "strategy": strategy(cfg, method)},
        "chosen": by_size(chosen.get(method, {})),
        "error": error(chosen.get(method, {})) if summary["metric"] == "rmse" else None,
        "rule": {name: pack(value.detach().cpu()) for name, value in state.items()},
        "spec": {
            "sizes": dict(spec.sizes),
            "tables": {k: pack(table) for k, table in spec.tables.items()},
            "context": spec.context,
            "outputs": spec.outputs,
            "arrays": arrays,
        },
        "fingerprint": fingerprint(state),
    }
    if isinstance(data, Recommendation):
        store.write(Path(pipeline.folder) / ANSWERS, content | of_people(cfg, data))
    elif data.cold:
        needs = list(options.header(f"strategy/{method}").needs)
        more = {"holds": "arrays", "needs": needs, "reading": data.reading()}
        store.write(Path(pipeline.folder) / ARRAYS, content | more)


def of_people(cfg: Any, data: Recommendation) -> dict[str, Any]:
    """Return what answers for people need beside the method: the catalogue and what is known before any rating."""
    ratings = data.ratings
    return {
        "item_ids": ratings.item_ids.tolist(),
        "titles": list(ratings.titles),
        "item_feature_names": list(ratings.item_feature_names),
        "user_feature_names": list(ratings.user_feature_names),
        "context": data.nobody()["features"].cpu(),
        "scale": [float(value) for value in ratings.scale],
        "positive": cfg.dataset.get("positive"),
        "popularity": data.popularity().to(torch.int32),
    }


def plain(node: Any) -> Any:
    """Return a config node as plain values, interpolations resolved."""
    return OmegaConf.to_container(node, resolve=True)


def strategy(cfg: Any, method: str) -> Any:
    """Return the node of a method: that of the run where it chose it, else that of its file."""
    mine = method in strategies(cfg)
    return plain(cfg.strategy[method.split("/")[0]] if mine else load_option(cfg, f"strategy/{method}"))


def by_size(choices: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """Return the chosen values by support size; those chosen on known users serve every size."""
    found = {int(size): choice["chosen"] for size, choice in choices.items() if size.isdigit()}
    return found or ({0: choices["warm"]["chosen"]} if "warm" in choices else {})


def error(choices: dict[str, Any]) -> float | None:
    """Return the validation error of a method at its largest support; None where there was no validation."""
    sizes = [size for size in choices if size.isdigit()]
    value = choices[max(sizes, key=int)]["value"] if sizes else None
    return None if value is None else float(value)


def fingerprint(tensors: dict[str, Tensor]) -> str:
    """Return a hash of tensors by name, so that what was made for them is not used with others."""
    digest = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
