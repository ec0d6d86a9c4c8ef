"""Whether a detector's alarms are worth more than as many at random: python scripts/trigger_table.py [--seeds 20]

Log-loss of rules that are told of drift, on generated streams whose concepts come back or change for ever: with a
detector's alarms, with as many alarms at random rows, with the truth, and with none; a stream and a draw of random rows
for each seed, paired differences with their 95 % interval over seeds.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np
import timing
import torch
from torch import Tensor

from metarun import build, config, events
from metarun.metrics.interval import estimate
from metarun.rule import Batch, Rule
from metarun.strategies.adaptive.warn_swap import WarnSwap

STRATEGIES = ("adaptive/warn_swap", "adaptive/recall")
DRIFTS = ("recurring", "abrupt")
ONE = torch.ones(1)
BLOCK = 100
"""Rows that are followed at once where no challenger is in training."""


def loss(strategy: str, kind: str, cfg: Any, seed: int, number: int, detector: str) -> tuple[float, int]:
    """Return the mean log-loss on one stream, and how many alarms there were."""
    data = build.dataset(cfg)
    rule = build.rule(cfg, strategy, build.model(cfg, data.spec))
    x, y = data.whole
    told = events.told(
        kind, 0, len(y), drifts=data.truth["drifts"], number=number, detector=detector, seed=seed + 1000
    )  # fmt: skip
    with torch.no_grad():
        x = rule.model.features(x) if rule.sees == "features" else x
        out, alarms = (quick if isinstance(rule, WarnSwap) else slow)(rule, x, y, told)
        return float(rule.model.objective.rows(out, y).double().mean()), alarms


def slow(rule: Rule, x: Tensor, y: Tensor, told: events.Events) -> tuple[Tensor, int]:
    """Return (outputs (B, C), alarms) of a rule that follows row by row."""
    state, outs, alarms = rule.init({}), [], 0
    for row in range(len(y)):
        part = slice(row, row + 1)
        outs.append(rule.predict(state, x[part]))
        event = heard(told, row, outs[-1], y)
        alarms += event >= rule.hears
        state = rule.update(state, Batch(x[part], y[part], ONE, ONE, torch.tensor(event)))
    return torch.cat(outs), alarms


def quick(rule: WarnSwap, x: Tensor, y: Tensor, told: events.Events) -> tuple[Tensor, int]:
    """Return the same; rows without a challenger are the champion's alone, which follows them in blocks."""
    state, outs, alarms, row = rule.init({}), [], 0, 0
    while row < len(y):
        last = min(row + (1 if state["active"] else BLOCK), len(y))
        part = slice(row, last)
        ones = torch.ones(last - row)
        batch = Batch(x[part], y[part], ones, ones, torch.tensor(0))
        if state["active"]:
            out = rule.predict(state, batch.x)
        else:
            out, champion = rule.rule.follow(state["champion"], batch.x, batch, 1)
        event = 0
        for place in range(last - row):
            event = heard(told, row + place, out[place : place + 1], y)
            if event >= rule.hears:
                break
        outs.append(out[: place + 1])
        alarms += event >= rule.hears
        if state["active"]:
            state = rule.update(state, batch._replace(event=torch.tensor(event)))
        elif event >= rule.hears:  # rows behind the alarm were not to be learned yet
            at = slice(row + place, row + place + 1)
            batch = Batch(x[row : at.start], y[row : at.start], ones[:place], ones[:place], torch.tensor(0))
            champion = rule.rule.follow(state["champion"], batch.x, batch, 1)[1] if place else state["champion"]
            state = rule.update({**state, "champion": champion}, Batch(x[at], y[at], ONE, ONE, torch.tensor(event)))
        else:
            state = {**state, "champion": champion}
        row += place + 1
    return torch.cat(outs), alarms


def heard(told: events.Events, row: int, out: Tensor, y: Tensor) -> int:
    """Show the error of a row's prediction (1, C) and return the event that is told with it."""
    told.saw(float(out[0].argmax() != y[row]))
    return told.at(row)


def measured(strategy: str, drift: str, seed: int, args: argparse.Namespace) -> list[float]:
    """Return the columns of the table for one stream."""
    words = ["+experiment=streams_compare", f"strategy={strategy}", "evaluate.against=[]", "dataset.opening=0"]
    words += [f"dataset.drift={drift}", f"dataset.rows={args.rows}", f"dataset.every={args.every}"]
    cfg = config.compose([*words, f"dataset.split_seed={seed}", *args.set])
    own, alarms = loss(strategy, "detector", cfg, seed, 0, args.detector)
    none, random, truth = (loss(strategy, kind, cfg, seed, alarms, "")[0] for kind in ("none", "random", "oracle"))
    return [none, random, own, truth, alarms, own - random, own - none]


def line(strategy: str, drift: str, found: list[list[float]]) -> str:
    """Return a line of the table from the columns of every stream."""
    cells = [estimate(values, "log_loss") for values in np.array(found).T]
    texts = [f"{c.value:.4f} ± {c.ci95:.4f}" if i != 4 else f"{c.value:.1f}" for i, c in enumerate(cells)]
    return f"| {drift} | `{strategy}` | {' | '.join(texts)} |"


def main(words: list[str] | None = None) -> int:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--every", type=int, default=2_000)
    parser.add_argument("--detector", default="hddm_w")
    parser.add_argument("--strategies", nargs="+", default=STRATEGIES)
    parser.add_argument("--drifts", nargs="+", default=DRIFTS)
    parser.add_argument("--set", nargs="*", default=[], help="overrides, e.g. strategy.adaptive.trigger=warning")
    args = parser.parse_args(words)
    torch.set_num_threads(1)
    timing.header(words or sys.argv[1:])
    print("| drift | rule | no alarm | random | detector | truth | alarms | detector less random | less none |")
    print("|---|---|---|---|---|---|---|---|---|")
    for drift in args.drifts:
        for strategy in args.strategies:
            found = [measured(strategy, drift, seed, args) for seed in range(args.seeds)]
            print(line(strategy, drift, found), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
