"""What mixing is worth where concepts come and go: python scripts/drift_table.py [--seeds 20] [--rows 20000]

Log-loss of fixed share over eight rates, as `+experiment=streams_compare` has it, beside the best of the eight fixed
rates, known only afterwards, and their uniform mixture, on generated streams of each kind of drift; one stream for each
seed, the difference with its 95 % interval over seeds.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
import timing
import torch

from metarun import build, config
from metarun.metrics.interval import estimate
from metarun.rule import Batch

KINDS = ("recurring", "abrupt", "gradual", "none")


def losses(drift: str, rows: int, seed: int) -> tuple[float, float, float]:
    """Return mean log-losses of (fixed share, the best fixed rate, the uniform mixture) on one stream."""
    words = ["+experiment=streams_compare", f"dataset.drift={drift}", f"dataset.rows={rows}", "dataset.opening=0"]
    cfg = config.compose([*words, "evaluate.against=[]", f"dataset.split_seed={seed}"])
    data = build.dataset(cfg)
    rule = build.rule(cfg, "adaptive/fixed_share", build.model(cfg, data.spec))
    rule.kernel = "numba"
    x, y = data.whole
    ones = torch.ones(len(y))
    with torch.no_grad():
        batch = Batch(rule.model.features(x), y, ones, ones, torch.zeros((), dtype=torch.int64))
        out, state = rule.follow(rule.init({}), batch.x, batch, 1)
        own = float(rule.model.objective.rows(out, y).double().mean())
    told = state["loss"] / rows
    return own, float(told[:-1].min()), float(told[-1])


def main(words: list[str] | None = None) -> int:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--rows", type=int, default=20_000)
    args = parser.parse_args(words)
    torch.set_num_threads(1)
    timing.header(words or sys.argv[1:])
    print("| drift | best fixed rate | uniform mixture | fixed share | less best fixed | in % |")
    print("|---|---|---|---|---|---|")
    for drift in KINDS:
        own, best, uniform = np.array([losses(drift, args.rows, seed) for seed in range(args.seeds)]).T
        cells = [estimate(values, "log_loss") for values in (best, uniform, own, own - best, 100 * (own / best - 1))]
        texts = [f"{cell.value:.4f} ± {cell.ci95:.4f}" for cell in cells[:-1]]
        print(f"| {drift} | {' | '.join(texts)} | {cells[-1].value:+.1f} ± {cells[-1].ci95:.1f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
