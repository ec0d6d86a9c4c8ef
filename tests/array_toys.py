"""Small made-up tasks on plain arrays, of classes and of numbers, in float64, for tests that compare numbers."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf, open_dict
from toys import adapting, composed, draws, needs, option, shake
from toys import tasks as toy_tasks

from metarun import build, config, options
from metarun.model import Model, Spec
from metarun.rule import Rule, Task
from metarun.tasks import encode

FEATURES, CLASSES, DESCRIPTIONS, HIDDEN = 5, 4, 3, 6
CLASSIFICATION, REGRESSION = "classification", "regression"
RECOMMENDATION = {"items", "ratings", "interactions", "rows in time"}
OTHER = {"text", "audio", "inputs"}
"""What reads no plain arrays: test_text.py, test_clips.py, test_fusion.py."""
OBJECTIVES = {CLASSIFICATION: "cross_entropy", REGRESSION: "squared"}


def kinds(method: str) -> tuple[str, ...]:
    """Return the kinds of tasks on plain arrays that a method says it is for."""
    needed = set(needs(method))
    if needed & (RECOMMENDATION | OTHER):
        return ()
    return tuple(
        k for k in OBJECTIVES if not needed & ({REGRESSION} if k == CLASSIFICATION else {"classes", CLASSIFICATION})
    )


def methods() -> list[tuple[str, str]]:
    """Return (method, kind) of all that adapts to plain arrays."""
    names = [name for name in options.names("strategy") if name not in adapting()] + adapting()
    return [(name, kind) for name in names for kind in kinds(name)]


@cache
def base() -> DictConfig:
    """Return a config that no dataset has tuned values in."""
    cfg = composed().copy()
    with open_dict(cfg):
        del cfg.dataset["tuned"]
    assert isinstance(cfg, DictConfig)
    return cfg


def model(kind: str, norm: str = "none", hidden: tuple[int, ...] = (HIDDEN,)) -> Model:
    cfg = base().copy()
    with open_dict(cfg):
        cfg.backbone = OmegaConf.merge(config.load_option(cfg, "backbone/mlp"), {"hidden": list(hidden), "norm": norm})
        cfg.objective = config.load_option(cfg, f"objective/{OBJECTIVES[kind]}")
    many = CLASSES if kind == CLASSIFICATION else 1
    made = build.model(cfg, Spec(shape=(FEATURES,), outputs=many, descriptions=DESCRIPTIONS)).double()
    shake(made)
    return made


def rule(
    method: str, kind: str = CLASSIFICATION, changes: dict[str, Any] | None = None, norm: str = "none", seed: int = 0
) -> Rule:
    """Return a method of conf/strategy around a toy model, prepared on toy tasks; `changes` are fields of its YAML."""
    node = option(base(), method, changes)
    made = fresh(node, method, model(kind, norm))
    task = tasks(kind, 60, seed=99)
    with torch.no_grad():
        made.prepare(iter([encode(made, task) if made.sees == "features" else task]))
    shake(made, 0.1, seed)
    return made


def fresh(node: DictConfig, method: str, model: Model) -> Rule:
    """Return a rule with the starting values that its constructor draws, the same at every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        made: Rule = build.make(node, f"strategy.{method.split('/')[0]}", model=model).double()
        return made


def tasks(kind: str = CLASSIFICATION, number: int = 3, support: int = 7, query: int = 4, seed: int = 0) -> Task:
    """Return ragged tasks (T,) on plain arrays: hidden rows and labels as of ratings, 2 to 4 classes in each."""
    ragged, generator = toy_tasks(number, support, query, seed), draws(seed + 1)
    x = torch.randn(number, support + query, FEATURES, generator=generator, dtype=torch.float64)
    context = {"key": ragged.context["key"]}
    parts = [part._replace(x=rows) for part, rows in zip(ragged[1:], x.split([support, query], 1), strict=True)]
    if kind == CLASSIFICATION:
        ways = 2 + torch.arange(number) % (CLASSES - 1)
        # Which classes a task has is no prefix of all.
        order = torch.rand(number, CLASSES, generator=generator).argsort(-1)
        context["classes"] = torch.zeros(number, CLASSES).scatter_(
            1, order, (torch.arange(CLASSES) < ways[:, None]) * 1.0
        )
        context["classes"] = context["classes"].double()
        context["descriptions"] = torch.randn(number, CLASSES, DESCRIPTIONS, generator=generator, dtype=torch.float64)
        drawn = (torch.rand(number, support + query, generator=generator) * ways[:, None]).long()
        labels = order.gather(1, drawn).split([support, query], 1)
        parts = [part._replace(y=y) for part, y in zip(parts, labels, strict=True)]
    return Task(context, *parts)
