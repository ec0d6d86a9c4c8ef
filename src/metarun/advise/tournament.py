"""Successive halving on validation tasks within a time: of those that trained a little the better third goes on.

Jamieson and Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization", AISTATS 2016.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import open_dict

from metarun import build
from metarun.advise.candidates import Candidate
from metarun.evaluate import Judge
from metarun.pipeline import Pipeline

KEEP = 3
"""Of so many one goes on, with so many times the steps."""
TASKS = (20, 60, 200)
"""Validation tasks of each round."""
ROUNDS = len(TASKS)


@dataclass
class Entry:
    """A candidate and how it did in the last round that it took part in."""

    candidate: Candidate
    round: int = 0
    values: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))  # (tasks,) the less the better
    seconds: float = 0.0

    @property
    def value(self) -> float:
        """The mean over tasks; inf where there is none."""
        mean = float(self.values.mean()) if len(self.values) else float("inf")
        return mean if np.isfinite(mean) else float("inf")


def hold(
    candidates: Sequence[Candidate], folder: Path, deadline: float, say: Callable[[str], None]
) -> tuple[list[Entry], Any]:
    """Return the entries that fit, the winner first, and the judge; deadline: in seconds of the monotonic clock.

    What there is no time for does not take part, and nobody starts what is not expected to end in time.
    """
    entries, judge = [Entry(candidate) for candidate in candidates], None
    left, begun = list(entries), time.monotonic()
    for number in range(1, ROUNDS + 1):
        until = begun + (deadline - begun) * number / ROUNDS
        took: list[float] = []
        for entry in left:
            expected = entry.seconds * (KEEP if number > 1 else 1) or (float(np.median(took)) if took else 0.0)
            if time.monotonic() + expected > (until if number < ROUNDS else deadline) and (took or number > 1):
                continue
            found = play(entry, number, folder)
            if found is None:
                entries.remove(entry)
                continue
            judge = found
            took.append(entry.seconds)
            say(f"round {number}: {entry.candidate.name}, {entry.seconds:.1f} s")
        played = sorted((entry for entry in left if entry.round == number), key=lambda entry: entry.value)
        left = played[: max(1, -(-len(played) // KEEP))] if played else left[:1]
    order = sorted(entries, key=lambda entry: (-entry.round, entry.value))
    return order, judge


def play(entry: Entry, number: int, folder: Path) -> Judge | None:
    """Train a candidate with a round's share of its steps and judge it; None where its parts do not go together."""
    began, cfg = time.monotonic(), entry.candidate.config()
    if cfg is None:
        return None
    with open_dict(cfg):
        cfg.pipeline.meta.steps = max(1, round(cfg.pipeline.meta.steps * KEEP ** (number - ROUNDS)))
        cfg.evaluate.validation_tasks = min(TASKS[number - 1], cfg.evaluate.validation_tasks)
    data = build.dataset(cfg)
    judge = Judge(
        data, metric=cfg.evaluate.metric, validation_tasks=cfg.evaluate.validation_tasks,
        stream_rows=cfg.evaluate.stream_rows, chunk=cfg.evaluate.chunk, vmapped=cfg.trainer.vmap,
        rank_at=cfg.evaluate.rank_at, candidates=cfg.evaluate.candidates,
    )  # fmt: skip
    place = folder / f"{number}-{entry.candidate.name.replace('/', '-').replace(' ', '-')}"
    shared = folder / f"{entry.candidate.backbone}-{entry.candidate.pretrain}"
    if shared.exists():  # what was pretrained alike is pretrained once
        shutil.copytree(shared, place / "checkpoints" / "1-pretrain")
    pipeline = Pipeline(cfg, data, place, judge)
    product = pipeline.run()[entry.candidate.strategy]
    if not shared.exists():
        shutil.copytree(place / "checkpoints" / "1-pretrain", shared)
    entry.values, entry.round = of_tasks(judge, pipeline.ready(entry.candidate.strategy, product)), number
    shutil.rmtree(place)
    entry.seconds = time.monotonic() - began
    return judge


def of_tasks(judge: Judge, rule: Any) -> NDArray[np.float64]:
    """Return the metric of each validation task (T,), the mean over support sizes at the best of the rule's grid."""
    tasks, found = judge.validating(rule), []
    for support in judge.supports:
        choice = judge.choose(rule, lambda support=support: judge.validation(rule, support, tasks))  # type: ignore[misc]
        with rule.set(choice.point), torch.no_grad():
            rows = judge.data.rows(support, None)
            values = judge.protocol.values(rule, tasks, rows, judge.stored)[judge.stored]
        found.append(judge.sign * values.double().numpy())
    mean: NDArray[np.float64] = np.mean(found, 0)
    return mean
