"""Small made-up models, tasks and ratings, in float64, for tests that compare numbers."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from metarun import build, config, options
from metarun.data.ratings import Ratings, user_offsets
from metarun.data.recommendation import Recommendation
from metarun.model import Model, Spec
from metarun.pairs import IN_ORDER, ROWS_IN_TIME
from metarun.rule import Batch, Rule, Task
from metarun.tasks import encode

ITEMS, USER_FEATURES, ITEM_FEATURES = 30, 3, 5
RANKS = ("objective=ranking", "objective.negatives=2", "evaluate=lists", "dataset.positive=1")
"""What makes rows interactions."""


def needs(method: str) -> tuple[str, ...]:
    """Return what a method of conf/strategy says that it needs."""
    return options.header(f"strategy/{method}").needs


def adapting() -> list[str]:
    """Return the methods that adapt to tasks of ratings or interactions."""
    return [
        name
        for name in options.names("strategy")
        if not {ROWS_IN_TIME, IN_ORDER, "classes", "arrays"} & set(needs(name))
    ]


def passing() -> list[str]:
    """Return the methods that pass over one stream of everybody's rows."""
    return [name for name in options.names("strategy") if ROWS_IN_TIME in needs(name)]


def ranking() -> list[str]:
    """Return the methods that MovieLens under the ranking objective offers everything they need."""
    offers = {offer for giver in ("dataset/movielens", "objective/ranking") for offer in options.header(giver).offers}
    return [name for name in adapting() if offers >= set(needs(name))]


def setting(method: str) -> tuple[str, ...]:
    """Return the overrides under which a method's rows are what it needs: ratings, or interactions."""
    return RANKS if "interactions" in needs(method) else ()


def draws(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@cache
def composed(*overrides: str) -> DictConfig:
    return config.compose(["backbone.dim=4", *overrides])


def spec() -> Spec:
    table = torch.randn(ITEMS, ITEM_FEATURES, generator=draws(1))
    return Spec({"item": ITEMS, "user": 12}, {"item": table}, USER_FEATURES)


def shake(module: nn.Module, size: float = 0.3, seed: int = 0) -> None:
    """Move every learned parameter away from where it starts, so that no zero hides a mistake."""
    generator = draws(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
                parameter += size * noise.to(parameter)


def model(*overrides: str) -> Model:
    made = build.model(composed(*overrides), spec()).double()
    shake(made)
    made.backbone.mean.fill_(0.5)
    return made


def rule(method: str, changes: dict[str, Any] | None = None, *overrides: str, seed: int = 0) -> Rule:
    """Return a method of conf/strategy around a toy model, prepared on toy tasks; `changes` are fields of its YAML."""
    node = option(composed(*overrides), method, changes)
    made: Rule = build.make(node, f"strategy.{method.split('/')[0]}", model=model(*overrides)).double()
    prepare(made)
    shake(made, 0.1, seed)
    return made


def option(cfg: DictConfig, method: str, changes: dict[str, Any] | None = None) -> DictConfig:
    """Return the node of a method of conf/strategy with some of its fields changed."""
    node = config.load_option(cfg, f"strategy/{method}")
    for name, value in (changes or {}).items():
        OmegaConf.update(node, name, value)
    return node


def prepare(rule: Rule) -> None:
    task = tasks(60, seed=99, others=negatives(rule))
    with torch.no_grad():
        rule.prepare(iter([encode(rule, task) if rule.sees == "features" else task]))


def negatives(rule: Rule) -> int:
    """Return how many items each row of a rule's data is ranked against; 0 for ratings."""
    return int(getattr(rule.model.objective, "negatives", 0))


def tasks(number: int = 5, support: int = 7, query: int = 4, seed: int = 0, others: int = 0) -> Task:
    """Return ragged tasks (T,): rows that do not exist, rows whose label is hidden, no item twice in a task.

    With `others` the rows are interactions of positive weight, each with so many items that it is ranked against.
    """
    generator = draws(seed)
    rows = support + query
    item = torch.stack([torch.randperm(ITEMS, generator=generator)[:rows] for _ in range(number)])
    y = torch.randn(number, rows, generator=generator, dtype=torch.float64) + 1
    mask = torch.zeros(number, rows, dtype=torch.float64)
    for t in range(number):
        mask[t, : 2 + (3 * t) % (support - 1)] = 1
        mask[t, support : support + 1 + t % query] = 1
    known = mask * (torch.rand(number, rows, generator=generator) > 0.25)
    known[:, 0] = known[:, support] = 1
    item, y = torch.where(mask > 0, item, 0), torch.where(mask > 0, y, 0.0)
    features = torch.randn(number, USER_FEATURES, generator=generator, dtype=torch.float64)
    context = {"key": torch.arange(number), "features": features}
    x = {"item": item}
    if others:
        x["others"] = torch.randint(ITEMS, (number, rows, others), generator=generator)
        y = y.abs()

    def part(rows: slice) -> Batch:
        event = torch.zeros(number, dtype=torch.int64)
        return Batch(
            {name: column[:, rows] for name, column in x.items()}, y[:, rows], mask[:, rows], known[:, rows], event
        )

    return Task(context, part(slice(0, support)), part(slice(support, None)))


def learned(module: nn.Module) -> dict[str, Tensor]:
    return {name: p for name, p in module.named_parameters() if p.requires_grad}


def ratings(
    users: int = 60, items: int = 200, least: int = 2, most: int = 60, seed: int = 0, visit: float = 1.0
) -> Ratings:
    """Return random ratings of different times; a user's lie within `visit` of the whole time."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(least, most + 1, users)
    user = np.repeat(np.arange(users, dtype=np.int32), counts)
    item = np.concatenate([rng.choice(items, count, replace=False) for count in counts]).astype(np.int32)
    moment = np.repeat(rng.random(users), counts) + visit * rng.random(len(user))
    time = 1000 + moment.argsort().argsort().astype(np.int64)
    order = np.lexsort((time, user))
    value = rng.integers(1, 6, len(user)).astype(np.float32)
    return Ratings(
        name="toy", synthetic=True, checksum="0", user=user[order], item=item[order], value=value[order],
        time=time[order], offsets=user_offsets(user, users), scale=(1.0, 5.0, 1.0), user_ids=np.arange(users),
        item_ids=np.arange(items), titles=[str(i) for i in range(items)],
        user_features=rng.normal(size=(users, 2)).astype(np.float32), user_feature_names=["a", "b"],
        item_features=rng.normal(size=(items, 3)).astype(np.float32), item_feature_names=["c", "d", "e"],
        tags=np.zeros((0, 3), np.int32),
    )  # fmt: skip


class Toy(Recommendation):
    """A dataset of given ratings."""

    def __init__(
        self, given: Ratings, split: str = "cold", split_seed: int = 0, supports: tuple[int, ...] = (0, 1, 3, 5),
        queries: int = 6, rounds: int = 2, **view: Any,
    ) -> None:  # fmt: skip
        super().__init__(split, split_seed, list(supports), queries, rounds=rounds, **view)
        self.given = given

    def read(self) -> Ratings:
        return self.given
