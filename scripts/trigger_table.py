"""Whether a detector's alarms are worth more than as many at random: python scripts/trigger_table.py [--seeds 20]

Log-loss of rules that are told of drift, on generated streams whose concepts come back: with a detector's alarms, with
as many alarms at random rows, with the truth, and with none; a stream and a draw of random rows for each seed, paired
differences with their 95 % interval over seeds.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
import timing
import torch

from metarun import build, config, events
from metarun.metrics.interval import estimate
from metarun.rule import Batch

STRATEGIES = ("adaptive/warn_swap", "adaptive/recall")


def loss(strategy: str, kind: str, rows: int, every: int, seed: int, number: int, detector: str) -> tuple[float, int]:
    """Return the mean log-loss on one stream, and how many alarms there were."""
    words = ["+experiment=streams_compare", f"strategy={strategy}", "evaluate.against=[]", f"dataset.rows={rows}"]
    cfg = config.compose([*words, "dataset.opening=0", f"dataset.every={every}", f"dataset.split_seed={seed}"])
    data = build.dataset(cfg)
    rule = build.rule(cfg, strategy, build.model(cfg, data.spec))
    told = events.told(
        kind, 0, rows, drifts=data.truth["drifts"], number=number, detector=detector, seed=seed + 1000
    )  # fmt: skip
    x, y = data.whole
    x, one, total, alarms = rule.model.features(x), torch.ones(1), 0.0, 0
    with torch.no_grad():
        state = rule.init({})
        for row in range(rows):
            part = slice(row, row + 1)
            out = rule.predict(state, x[part])
            total += float(rule.model.objective.rows(out, y[part]))
            told.saw(float(out.argmax() != y[row]))
            event = told.at(row)
            alarms += event == events.DRIFT
            state = rule.update(state, Batch(x[part], y[part], one, one, torch.tensor(event)))
    return total / rows, alarms


def main(words: list[str] | None = None) -> int:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--every", type=int, default=2_000)
    parser.add_argument("--detector", default="hddm_w")
    args = parser.parse_args(words)
    torch.set_num_threads(1)
    timing.header(words or sys.argv[1:])
    print("| rule | no alarm | random | detector | truth | alarms | detector less random | less none |")
    print("|---|---|---|---|---|---|---|---|")
    for strategy in STRATEGIES:
        found = []
        for seed in range(args.seeds):
            own, alarms = loss(strategy, "detector", args.rows, args.every, seed, 0, args.detector)
            rest = [
                loss(strategy, kind, args.rows, args.every, seed, alarms, "")[0]
                for kind in ("none", "random", "oracle")
            ]
            found.append([rest[0], rest[1], own, rest[2], alarms, own - rest[1], own - rest[0]])
        cells = [estimate(values, "log_loss") for values in np.array(found).T]
        texts = [f"{c.value:.4f} ± {c.ci95:.4f}" if i != 4 else f"{c.value:.1f}" for i, c in enumerate(cells)]
        print(f"| `{strategy}` | {' | '.join(texts)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
