"""How fast a stream is followed row by row: python scripts/bench_stream.py [--rows 200000] [--quick]

One linear rule, and eight rates mixed by fixed share, on generated rows of nine features and two classes: the engine
(what a run does, Lightning, scoring and curves included), a bare torch loop of the same rule, and river's scaler with
logistic regression. Chunk 1, no delay. All in one process and one thread, in turns; the losses have to agree.
"""

from __future__ import annotations

import argparse
import functools
import math
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import timing
import torch
from omegaconf import OmegaConf
from torch import Tensor

from metarun.backbones.plain import Plain
from metarun.datasets.drifting import Drifting
from metarun.events import Events
from metarun.heads.linear import Linear
from metarun.model import Model
from metarun.objectives.cross_entropy import CrossEntropy
from metarun.rule import Rule
from metarun.stages.loop import fit
from metarun.stages.stream import Follow, Plan
from metarun.strategies.adaptive.fixed_share import FixedShare
from metarun.strategies.gradient import Gradient

RATES = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2]
SHARE, RATE, FEATURES = 0.01, 0.16, 9
HALF, RIVER_ONE, RIVER_EIGHT = 0.5, 20.0, 5.0


def dataset(rows: int) -> Drifting:
    """Return a stream of concepts that come back."""
    return Drifting(
        "recurring", rows, FEATURES, 2000, 0, 4, 0.1, opening=0, standardise=True, lags=[], supports=[1], queries=1,
        test_tasks=1, split_seed=0,
    )  # fmt: skip


def rule(mixed: bool, data: Drifting, kernel: str) -> Rule:
    """Return the rule as a run makes it."""
    spec = data.spec
    backbone = Plain(spec=spec)
    model = Model(backbone, Linear(backbone=backbone, spec=spec), CrossEntropy(), spec)
    made: Rule = Gradient(model=model, inner_lr=RATE)
    if mixed:
        made = FixedShare(model=model, rule=functools.partial(Gradient), rates=RATES, share=SHARE, temperature=1.0)
    made.kernel = kernel
    return made


def engine(mixed: bool, data: Drifting, kernel: str = "numpy") -> tuple[float, float]:
    """Return (seconds, mean log-loss) of the pass as a run does it."""
    trainer = OmegaConf.create({"trainer": {"accelerator": "cpu", "devices": 1, "nodes": 1}}).trainer
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        made = rule(mixed, data, kernel)
        plan = Plan(0, len(data.found.y), 1, 2000)
        stage = Follow(made, made.init({}), data, plan, 0, Events([]), Path(folder), "bench/bench")
        seconds = fit(stage, plan.batch, len(plan), Path(folder), "bench", trainer=trainer, save_every=200)
        return seconds, float(stage.losses()[:, 0].mean(dtype="f8"))


def bare_linear(x: Tensor, y: Tensor) -> float:
    """Return the mean log-loss of a bare torch loop of softmax regression."""
    weight, total = torch.zeros(x.shape[1], 2), 0.0
    for row, label in zip(x, y.tolist(), strict=True):
        p = torch.softmax(row @ weight, 0)
        total -= math.log(max(p[label].item(), 1e-38))
        p[label] -= 1
        weight.addr_(row, p, alpha=-RATE)
    return total / len(y)


def bare_mixed(x: Tensor, y: Tensor) -> float:
    """Return the mean log-loss of a bare torch loop of eight rates, stacked, under fixed share."""
    policies, rate = len(RATES), torch.tensor(RATES)[:, None]
    weight, trust, total = torch.zeros(x.shape[1], policies * 2), torch.full((policies,), 1 / policies), 0.0
    for row, label in zip(x, y.tolist(), strict=True):
        p = torch.softmax((row @ weight).view(policies, 2), 1)
        total -= math.log(max((trust @ p)[label].item(), 1e-38))
        trust = trust * p[:, label]
        trust = (1 - SHARE) * trust / trust.sum() + SHARE / policies
        p[:, label] -= 1
        weight.addr_(row, (rate * p).view(-1), alpha=-1)
    return total / len(y)


def river(x: Tensor, y: Tensor) -> float:
    """Return the mean log-loss of river's scaler and logistic regression on the same rows."""
    from river import linear_model, optim, preprocessing

    model = preprocessing.StandardScaler() | linear_model.LogisticRegression(optim.SGD(RATE))
    rows, total = [dict(enumerate(row)) for row in x.tolist()], 0.0
    for row, label in zip(rows, y.tolist(), strict=True):
        p = model.predict_proba_one(row).get(label, 0.5)
        total -= math.log(max(p, 1e-38))
        model.learn_one(row, bool(label))
    return total / len(y)


def timed(function: Callable[[], float]) -> tuple[float, float]:
    """Return (seconds, what the function returned)."""
    began = time.perf_counter()
    found = function()
    return time.perf_counter() - began, found


def main(words: list[str] | None = None) -> int:
    """Print rows a second and ratios; return 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--quick", action="store_true", help="few rows, no bars: does it run?")
    args = parser.parse_args(words)
    torch.set_num_threads(1)
    timing.header(words or sys.argv[1:])
    data = dataset(2000 if args.quick else args.rows)
    x, y = data.whole
    raw = data.found.x
    x = torch.cat([x, torch.ones(len(x), 1)], 1)
    contenders: dict[str, Callable[[], tuple[float, float]]] = {
        "one rule, engine": lambda: engine(False, data),
        "one rule, bare torch loop": lambda: timed(lambda: bare_linear(x, y)),
        "one rule, engine with numba": lambda: engine(False, data, "numba"),
        "eight mixed, engine with numba": lambda: engine(True, data, "numba"),
        "eight mixed, engine": lambda: engine(True, data),
        "eight mixed, bare torch loop": lambda: timed(lambda: bare_mixed(x, y)),
        "river, scaler and logistic regression": lambda: timed(lambda: river(raw, y)),
    }
    began = time.perf_counter()
    for mixed in (False, True):
        engine(mixed, dataset(50), "numba")
    print(f"numba: {time.perf_counter() - began:.1f} s to import and compile, or to load what was compiled before")
    found = {name: [run() for _ in range(1 if args.quick else 3)] for name, run in contenders.items()}
    speed = {name: len(y) / min(seconds for seconds, _ in times) for name, times in found.items()}
    for name, times in found.items():
        print(f"{name:40} {speed[name]:10,.0f} rows/s   log-loss {times[0][1]:.6f}")
    for kind in ("one rule", "eight mixed"):
        ours, theirs = found[f"{kind}, engine"][0][1], found[f"{kind}, bare torch loop"][0][1]
        if abs(ours - theirs) > 1e-5 * abs(theirs):
            raise SystemExit(f"not the same rule: {kind} has log-loss {ours:.7f} in the engine, {theirs:.7f} bare")
    river_speed = speed["river, scaler and logistic regression"]
    ratios = {
        "one rule, engine : bare loop": (speed["one rule, engine"] / speed["one rule, bare torch loop"], HALF),
        "eight mixed, engine : bare loop": (speed["eight mixed, engine"] / speed["eight mixed, bare torch loop"], HALF),
        "one rule, engine with numba : river": (speed["one rule, engine with numba"] / river_speed, RIVER_ONE),
        "eight mixed, engine with numba : river": (speed["eight mixed, engine with numba"] / river_speed, RIVER_EIGHT),
    }
    for name, (ratio, _) in ratios.items():
        print(f"{name:40} {ratio:10.2f}")
    return (
        0
        if args.quick
        else timing.verdict([(f"{name} at least {bar:g}", r >= bar) for name, (r, bar) in ratios.items()])
    )


if __name__ == "__main__":
    sys.exit(main())
