"""What the meta stage is worth on concepts that come back: python scripts/recovery_table.py [--seeds 20]

Rows until the error is back after each drift from the third round on, of fixed share in rounds between which
meta/maml learns the start from what has been seen, and of fixed share in one pass; a stream for each seed, the paired
difference of medians with its 95 % interval over seeds.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import tempfile
from pathlib import Path

import numpy as np
import timing

from metarun import config
from metarun.metrics.interval import estimate
from metarun.metrics.prequential import recovery
from metarun.run import run
from metarun.stages.stream import LOSSES

ROUNDS = 5
EVERY = 1000


def outcome(seed: int, rows: int, meta: bool, home: str) -> tuple[float, float]:
    """Return (median rows to recover, mean log-loss) from the third round on."""
    words = [
        "+experiment=streams_compare", f"dataset.rows={rows}", f"dataset.every={EVERY}", "dataset.opening=0",
        "evaluate.against=[]", "evaluate.tasks=false", "evaluate.reference=adaptive/fixed_share",
        f"dataset.split_seed={seed}", f"paths.outputs={home}/{meta}-{seed}", "pipeline.meta.steps=100",
    ]  # fmt: skip
    if meta:
        words += ["strategy=[adaptive/fixed_share,meta/maml]", f"pipeline.rounds={ROUNDS}"]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        summary = run(config.compose(words))
    parts = sorted(Path(summary["folder"]).glob(f"checkpoints/*follow-adaptive-fixed_share/{LOSSES}"))
    losses = np.concatenate([np.load(part) for part in parts])
    first = rows * 2 // ROUNDS
    drifts = [row for row in summary["pass"]["drifts"] if row >= first]
    found = recovery(losses[:, 1].astype(float), drifts, 100, 0.05)
    known = [rows if rows is not None else EVERY for rows in found]  # never counts as the whole stretch
    return float(np.median(known)), float(losses[first:, 0].mean())


def main(words: list[str] | None = None) -> int:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--rows", type=int, default=10_000)
    args = parser.parse_args(words)
    timing.header(words or sys.argv[1:])
    with tempfile.TemporaryDirectory() as home:
        found = np.array([[outcome(s, args.rows, meta, home) for meta in (True, False)] for s in range(args.seeds)])
    print("| from round 3 on | with the meta stage | without | difference |")
    print("|---|---|---|---|")
    for column, name in enumerate(("median rows to recover", "log-loss")):
        own, other = found[:, 0, column], found[:, 1, column]
        cells = [estimate(values, "log_loss") for values in (own, other, own - other)]
        print(f"| {name} | {' | '.join(f'{cell.value:.3f} ± {cell.ci95:.3f}' for cell in cells)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
