"""Every method follows the stream on its own, in one pass, or in rounds between which the meta stage learns."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_structure, tree_unflatten

from metarun import build, events
from metarun.errors import MetarunError
from metarun.pipeline import Pipeline, Product
from metarun.rule import Rule, State
from metarun.stages.examined import Examined
from metarun.stages.loop import fit
from metarun.stages.stream import LOSSES, Follow, Plan
from metarun.store import cpu

POINTS = 2000
"""Points of a curve, over all rounds."""
SUMS = ("loss", "hits")
"""What rules tell of themselves as sums since their start."""


@dataclass
class Followed:
    """What a method left behind it: values per row, and at each mark what it told of its state."""

    losses: NDArray[np.float32]  # (rows, 2): see `stages.stream.worth`
    marks: NDArray[np.int64]
    told: dict[str, Tensor]  # each (marks, ...)
    names: list[str]  # of its policies
    alarms: list[int]
    seconds: float
    starts: list[int]  # rows at which a round began
    right: NDArray[np.uint8] | None  # (T + 1, held-out rows) of a sequence of tasks: see `stages.examined`


def key_of(name: str) -> str:
    """Return the name of the stage in which a method follows the stream."""
    return f"follow-{name.replace('/', '-').replace(' ', '-')}"


def everyone(pipeline: Pipeline) -> tuple[dict[str, Followed], dict[str, Product]]:
    """Let every method of a run follow the stream from the pretrained model; return what each left, and started with.

    Raises:
        MetarunError: a rule that listens would be told events that there are none of, before anything is followed.
    """
    methods = build.methods(pipeline.cfg)
    check_events(pipeline, methods)
    pretrained = pipeline.pretrain("1-pretrain", 1, None)
    found: dict[str, Followed] = {}
    products: dict[str, Product] = {}
    for method in methods:
        product = Product(method, pretrained)
        if method.startswith("meta/"):
            product = pipeline.stage(f"own-{method.replace('/', '-')}", method, 1, pretrained, None)
        found |= rows_of(pipeline, method, product)
        products[method] = product
    return found, products


def check_events(pipeline: Pipeline, methods: list[str]) -> None:
    """Raise MetarunError for events that cannot be told: drift that is not known, a detector without its package."""
    cfg, data = pipeline.cfg, pipeline.data
    model = build.model(cfg, data.spec)
    if any(build.rule(cfg, method, model).listens for method in methods):
        for kind in cfg.evaluate.events:
            events.told(kind, 0, 1, drifts=data.truth["drifts"], number=0, detector=cfg.evaluate.detector, seed=0)


def rows_of(pipeline: Pipeline, method: str, product: Product) -> dict[str, Followed]:
    """Return the rows of the table that a method has: its own, and as controls the same with other events."""
    kinds = list(pipeline.cfg.evaluate.events)
    rule = pipeline.ready(method, product)
    if not rule.listens:
        return {method: follow(pipeline, method, method, product, "none", 0)}
    own = follow(pipeline, method, method, product, kinds[0], len(pipeline.data.truth["drifts"]))
    found = {method: own}
    for kind in kinds[1:]:
        name = f"{kind} events/{method}"
        found[name] = follow(pipeline, name, method, product, kind, len(own.alarms))
    return found


def follow(pipeline: Pipeline, name: str, method: str, product: Product, kind: str, number: int) -> Followed:
    """Let a method follow the stream; `kind`, `number`: of the events that it is told, if it listens."""
    rounds = pipeline.cfg.pipeline.rounds if closes(pipeline, name, method) else 1
    parts, state, total = [], None, 0.0
    edges = stretches(pipeline, rounds)
    for place, (first, last) in enumerate(pairwise(edges), 1):
        rule = pipeline.ready(method, product)
        key = key_of(name) if rounds == 1 else f"{place}-{key_of(name)}"
        found = one_pass(pipeline, key, name, method, rule, (first, last), state, kind, number, POINTS // rounds)
        parts.append((pipeline.store.place(key), found))
        total += found["seconds"]
        state = found["state"]
        if place < rounds:
            product, state = learned(pipeline, place, method, product, rule, state), None
    return joined(parts, edges, rule, total)


def closes(pipeline: Pipeline, name: str, method: str) -> bool:
    """Return whether the meta stage learns between the rounds of a method: of what goes before it in the chain."""
    chain = build.strategies(pipeline.cfg)
    family = method.split("/")[0]
    own = name == method and method in chain and family in ("online", "adaptive")
    return own and any(other.startswith("meta/") for other in chain) and pipeline.cfg.pipeline.rounds > 1


def stretches(pipeline: Pipeline, rounds: int) -> list[int]:
    """Return where each round begins, and the end."""
    cfg, data = pipeline.cfg, pipeline.data
    first, last = data.opening, len(data.found.y)
    if cfg.trainer.steps is not None:
        last = min(last, first + cfg.trainer.steps * 100)
    return [int(row) for row in np.linspace(first, last, rounds + 1).round()]


def one_pass(
    pipeline: Pipeline, key: str, name: str, method: str, rule: Rule, rows: tuple[int, int],
    leaves: list[Tensor] | None, kind: str, number: int, points: int,
) -> dict[str, Any]:  # fmt: skip
    """Let a rule follow rows of the stream from its start, or from a state, or load what it left."""
    found = pipeline.store.load(key)
    if found is not None:
        pipeline.count(key, found)
        return found
    cfg, data = pipeline.cfg, pipeline.data
    rule.kernel = cfg.evaluate.kernel
    with torch.no_grad():
        start: State = rule.init({**data.context(), "seed": torch.tensor(int(cfg.seed))})
    state = start if leaves is None else tree_unflatten(leaves, tree_structure(start))
    chunk = cfg.evaluate.stream_chunk
    plan = Plan(*rows, chunk, points)
    told = events.told(
        kind if rule.listens else "none", *rows, drifts=data.truth["drifts"], number=number,
        detector=cfg.evaluate.detector, seed=int(cfg.seed),
    )  # fmt: skip
    place = pipeline.store.place(key)
    kind_of_pass = Examined if data.exams else Follow
    stage = kind_of_pass(rule, state, data, plan, cfg.evaluate.delay, told, place, method)
    seconds = fit(
        stage, plan.batch, len(plan), place, name,
        trainer=cfg.trainer, save_every=cfg.pipeline.save_every, save_minutes=cfg.pipeline.save_minutes,
        callbacks=pipeline.watch.follow(key, name, len(plan)),
    )  # fmt: skip
    stage.losses().flush()  # type: ignore[attr-defined]
    found = {
        "state": cpu_leaves(stage.state), "told": stage.told(), "alarms": stage.alarms, "marks": plan.marks.tolist(),
        "steps": len(plan), "seconds": seconds, "config": pipeline.plain,
        "right": torch.stack(stage.right) if isinstance(stage, Examined) else None,
    }  # fmt: skip
    pipeline.store.save(key, found, [])
    pipeline.count(key, found)
    pipeline.watch.say(f"{name}: {(rows[1] - rows[0]) / max(seconds, 1e-9):,.0f} rows a second")
    return found


def cpu_leaves(state: State) -> list[Tensor]:
    """Return the tensors of a state."""
    return [leaf.detach().cpu().clone() for leaf in tree_leaves(state)]


def learned(pipeline: Pipeline, place: int, method: str, product: Product, rule: Rule, leaves: list[Tensor]) -> Product:
    """Return the product after the meta stage of a round: it starts from what the method's state stands for."""
    meta = next(name for name in build.strategies(pipeline.cfg) if name.startswith("meta/"))
    with torch.no_grad():
        state = tree_unflatten(leaves, tree_structure(rule.init(pipeline.data.context())))
        current = cpu(rule.model.state_dict()) | cpu(rule.commit(state))
    after = pipeline.stage(f"{place}-meta", meta, place, current, None)
    return Product(method, after.model, product.rule)


def joined(parts: list[tuple[Path, dict[str, Any]]], edges: list[int], rule: Rule, seconds: float) -> Followed:
    """Return what a method left in all its rounds as one."""
    losses = [np.load(place / LOSSES, mmap_mode="r") for place, _ in parts]
    if any(len(values) != edges[i + 1] - edges[i] for i, values in enumerate(losses)):
        raise MetarunError(f"{parts[0][0]}: {LOSSES} has another length than the stream: remove the folder")
    told: dict[str, Tensor] = {}
    for name in parts[0][1]["told"]:
        each = [found["told"][name] for _, found in parts]
        for i in range(1, len(each)) if name in SUMS else ():  # a new state counts from 0
            each[i] = each[i] + (each[i - 1][-1] - each[i][0])
        told[name] = torch.cat([*(part[:-1] for part in each[:-1]), each[-1]])
    marks = np.unique(np.concatenate([found["marks"] for _, found in parts]))
    return Followed(
        losses[0] if len(losses) == 1 else np.concatenate(losses), marks, told, list(getattr(rule, "names", [])),
        [row for _, found in parts for row in found["alarms"]], seconds, edges[:-1],
        None if parts[-1][1]["right"] is None else parts[-1][1]["right"].numpy(),
    )  # fmt: skip
