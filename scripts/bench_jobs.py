"""What a job of a pool costs beyond its own work: 50 tiny jobs, against the same runs one after another in one process.

    python scripts/bench_jobs.py

The bar: under 0.5 s per job, the start of the pool included. Overhead is measured with one job at a time, where the
command's time less the runs' own is the overhead itself; with two at a time it is printed beside.
"""

from __future__ import annotations

import argparse
import io
import shutil
import sys
import tempfile
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import timing

TINY = [
    "+experiment=movielens_maml", "dataset.version=sample", "pretrain.epochs=1", "pipeline.meta.steps=1",
    "pipeline.rounds=1", "strategy=meta/maml", "evaluate.against=[]", "evaluate.validation_tasks=2",
    "dataset.supports=[1]", "backbone.dim=2",
]  # fmt: skip

BAR = 0.5  # seconds


def alone(home: Path, jobs: int) -> float:
    """Return the seconds that the runs themselves take, one after another in this process, imports not counted."""
    from metarun import config
    from metarun.run import run

    taken = 0.0
    for seed in range(-1, jobs):  # the first, -1, brings what is imported late
        cfg = config.compose([*TINY, f"seed={seed + 1000}", f"paths.outputs={home}"])
        began = time.perf_counter()
        with redirect_stderr(io.StringIO()), redirect_stdout(io.StringIO()):
            run(cfg)
        taken += (time.perf_counter() - began) * (seed >= 0)
    return taken


def pooled(home: Path, jobs: int, at_once: int) -> float:
    """Return the seconds of the command that runs them in a pool; the first also starts the process all come from."""
    from metarun.cli import main

    words = ["-m", "hydra/launcher=joblib", f"hydra.launcher.n_jobs={at_once}", *TINY, f"paths.outputs={home}"]
    quiet = io.StringIO()
    with redirect_stderr(quiet), redirect_stdout(quiet):
        began = time.perf_counter()
        code = main([*words, f"seed={','.join(str(seed) for seed in range(jobs))}"])
        taken = time.perf_counter() - began
    if code or f"{jobs} of {jobs} jobs finished." not in quiet.getvalue():
        sys.exit(f"the jobs did not finish:\n{quiet.getvalue()[-2000:]}")
    return taken


def main(argv: list[str]) -> int:
    """Measure, print, and return 1 where the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=50)
    given = parser.parse_args(argv)
    timing.header(argv)
    home = Path(tempfile.mkdtemp())
    try:
        own = alone(home / "alone", given.jobs)
        one = pooled(home / "one", given.jobs, 1)
        two = pooled(home / "two", given.jobs, 2)
    finally:
        shutil.rmtree(home)
    each = (one - own) / given.jobs
    rows = [
        ["the runs themselves, in one process", f"{own:.1f}", f"{own / given.jobs:.3f}", ""],
        ["a pool, one job at a time", f"{one:.1f}", f"{one / given.jobs:.3f}", f"{each:.3f}"],
        ["a pool, two jobs at a time", f"{two:.1f}", f"{two / given.jobs:.3f}", ""],
    ]
    timing.table([f"{given.jobs} jobs", "seconds", "per job", "overhead per job"], rows)
    return timing.verdict([(f"overhead per job {each:.3f} s, at most {BAR}", each <= BAR)])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
