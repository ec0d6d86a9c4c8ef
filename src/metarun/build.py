"""From config nodes to objects; nothing is instantiated whose `_target_` is not trusted."""

from __future__ import annotations

from typing import Any

import torch
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf

from metarun.config import load_option
from metarun.model import Model, Spec
from metarun.rule import Rule
from metarun.trust import check_home, check_target


def make(node: DictConfig, key: str, **runtime: Any) -> Any:
    """Return the object that a config node describes, with what is only known at run time added."""
    plain: Any = OmegaConf.to_container(node, resolve=True)
    check_all(key, plain)
    # Runtime objects are given afterwards: Hydra would copy a dataclass into a config.
    return instantiate({**plain, "_partial_": True}, _convert_="all")(**runtime)


def check_all(key: str, node: Any) -> None:
    """Raise MetarunError for a `_target_` anywhere in a node not trusted by its name or by where it leads."""
    if isinstance(node, dict):
        if "_target_" in node:
            check_target(f"{key}._target_", node["_target_"])
            check_home(f"{key}._target_", node["_target_"], get_object(str(node["_target_"])))
        for name, value in node.items():
            check_all(f"{key}.{name}", value)
    elif isinstance(node, list):
        for place, part in enumerate(node):
            check_all(f"{key}.{place}", part)


def dataset(cfg: DictConfig) -> Any:
    """Return the dataset."""
    node = OmegaConf.masked_copy(cfg.dataset, [key for key in cfg.dataset if key != "tuned"])
    node._set_parent(cfg)
    return make(node, "dataset")


def model(cfg: DictConfig, spec: Spec) -> Model:
    """Return a fresh model, the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(cfg.seed))
        backbone = make(cfg.backbone, "backbone", spec=spec)
        head = make(cfg.head, "head", backbone=backbone, spec=spec)
        return Model(backbone, head, make(cfg.objective, "objective"), spec)


def pretraining(cfg: DictConfig, model: Model, spec: Spec) -> Any:
    """Return the pretraining task."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(cfg.seed) + 1)
        return make(cfg.pretrain, "pretrain", model=model, spec=spec)


def rule(cfg: DictConfig, method: str, model: Model | None) -> Rule:
    """Return a method's update rule around a model; a method of the run itself by its node, any other by its file.

    A rule whose state is tables has no model.
    """
    family = method.split("/")[0]
    chosen = method in strategies(cfg)
    node = cfg.strategy[family] if chosen else load_option(cfg, f"strategy/{method}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(cfg.seed) + 2)
        made: Rule = make(node, f"strategy.{family}", model=model)
        return made


def strategies(cfg: DictConfig) -> list[str]:
    """Return the run's strategies in the order of the loop: transfer, adaptive, online, meta."""
    from metarun.config import strategies as chosen

    order = ("transfer", "adaptive", "online", "meta")
    return sorted(chosen(cfg), key=lambda method: order.index(method.split("/")[0]))


def methods(cfg: DictConfig) -> list[str]:
    """Return all methods that a run judges, each once: its strategies and what they are judged against."""
    return list(dict.fromkeys([*strategies(cfg), *cfg.evaluate.against, cfg.evaluate.reference]))
