"""Whether size hurts: the cost of a meta-step on 100 thousand and on 20 million ratings, and the memory of 20 million.

The large ratings are written in ml-20m's layout into a temporary folder and loaded by a process of their own, as a run
does it: files, columns, roles, segments, first meta-step. For the meta-steps both sizes are made in memory, with equal
numbers of films.

    python scripts/bench_scale.py [--quick]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import generated
import timing
import torch

from metarun.backbones.mf import MatrixFactorisation
from metarun.data.ratings import Ratings
from metarun.data.recommendation import Recommendation
from metarun.datasets.movielens import MovieLens
from metarun.heads.linear import Linear
from metarun.model import Model, Spec
from metarun.objectives.squared import Squared
from metarun.strategies.gradient import Gradient
from metarun.tasks import outer

MOST_MEMORY, MOST_SLOWER = 1.5e9, 1.25
SUPPORTS, QUERIES, SEED = [0, 1, 3, 5, 10, 20], 20, 0
ROWS_PER_USER = 144  # as in ml-20m


class InMemory(Recommendation):
    """Views of ratings that are there already."""

    def __init__(self, ratings: Ratings) -> None:
        super().__init__("cold", SEED, SUPPORTS, QUERIES, rounds=1)
        self.given = ratings

    def read(self) -> Ratings:
        """Return them."""
        return self.given


def meta_step(data: Recommendation, args: argparse.Namespace) -> Callable[[], float]:
    """Return a function that takes the next meta-step, sampler included, and returns its loss."""
    torch.manual_seed(SEED)
    spec = Spec({"item": data.ratings.n_items})
    backbone = MatrixFactorisation(args.dim, True, spec=spec)
    model = Model(backbone, Linear(backbone=backbone, spec=spec), Squared())
    rule = Gradient(model=model, steps=5, inner_lr=0.1, learns="head", learn_rate="parameter")
    optimizer = torch.optim.Adam([p for p in rule.parameters() if p.requires_grad])
    tasks, step = data.train_tasks(1, 1, SEED), 0

    def take() -> float:
        nonlocal step
        batch = tasks.batch(torch.arange(step * args.tasks, (step + 1) * args.tasks))
        optimizer.zero_grad()
        loss = outer(rule, batch).mean()
        loss.backward()
        optimizer.step()
        step += 1
        return float(loss.detach())

    return take


def write(folder: Path, args: argparse.Namespace) -> int:
    """Write ratings.csv and movies.csv in ml-20m's layout and return the number of ratings."""
    folder.mkdir()
    with (folder / "movies.csv").open("w", encoding="utf-8") as file:
        file.write("movieId,title,genres\n")
        file.writelines(f"{film},Film {film} ({1950 + film % 70}),Comedy|Drama\n" for film in range(1, args.items + 1))
    rows = 0
    with (folder / "ratings.csv").open("w", encoding="utf-8") as file:
        file.write("userId,movieId,rating,timestamp\n")
        for block in generated.blocks(args.rows, args.rows // ROWS_PER_USER, args.items):
            lists = (block[name].tolist() for name in ("user", "item", "half", "time"))
            file.writelines(f"{u + 1},{i + 1},{h / 2},{t}\n" for u, i, h, t in zip(*lists, strict=True))
            rows += len(block["user"])
    return rows


def load(folder: Path, args: argparse.Namespace) -> None:
    """Load the ratings of a folder as a run does, and print (what, seconds, peak memory in bytes) as JSON."""
    marks: list[tuple[str, float, float]] = []
    began = time.perf_counter()

    def mark(what: str) -> None:
        nonlocal began
        marks.append((what, time.perf_counter() - began, peak()))
        began = time.perf_counter()

    data = MovieLens(
        "20m", str(folder), None, split="cold", split_seed=SEED, supports=SUPPORTS, queries=QUERIES, rounds=1
    )
    rows = len(data.ratings.user)
    mark("files to columns")
    _ = data.segments
    mark("roles and segments")
    meta_step(data, args)()
    mark("first meta-step")
    data.source(16_384, SEED).batch(0)
    mark("first pretraining batch")
    print(json.dumps({"rows": rows, "marks": marks}))


def peak() -> float:
    """Return the largest memory that this process has held, in bytes.

    On Linux from VmHWM: what getrusage tells there starts at the size of the process that started this one.
    """
    told = Path("/proc/self/status")
    if told.exists():
        line = next(line for line in told.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM"))
        return float(line.split()[1]) * 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)  # bytes on macOS


def loaded(arguments: list[str], args: argparse.Namespace) -> tuple[int, list[list[list[Any]]]]:
    """Write the files, load them in a process of its own, and in another from the cached columns; remove them.

    Returns the number of ratings and what each process found.
    """
    with tempfile.TemporaryDirectory(dir=args.folder) as temporary:
        rows = write(Path(temporary) / "ml-20m", args)
        command = [sys.executable, __file__, *arguments, "--load", temporary]
        environment = {**os.environ, "METARUN_CACHE": str(Path(temporary) / "cache")}
        found = []
        for _ in range(1 if args.quick else 2):
            told = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, check=True)
            found.append(json.loads(told.stdout))
    if any(part["rows"] != rows for part in found):
        raise SystemExit(f"wrote {rows} ratings, read {[part['rows'] for part in found]}")
    return rows, [part["marks"] for part in found]


def main(arguments: list[str]) -> int:
    """Run the benchmark and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000_000, help="ratings of the large data")
    parser.add_argument("--small", type=int, default=100_000, help="ratings of the small data")
    parser.add_argument("--items", type=int, default=26_744, help="films in both")
    parser.add_argument("--dim", type=int, default=32, help="K, width of the film vectors")
    parser.add_argument("--tasks", type=int, default=256, help="users per meta-step")
    parser.add_argument("--turns", type=int, default=101, help="turns that the medians are taken over")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    parser.add_argument("--folder", type=Path, default=None, help="where 1 GB of temporary files go; default: TMPDIR")
    parser.add_argument("--quick", action="store_true", help="few ratings and turns: shows that it runs, no bars")
    parser.add_argument("--load", type=Path, help=argparse.SUPPRESS)  # the process that is measured
    args = parser.parse_args(arguments)
    if args.quick:
        args.rows, args.small, args.items, args.turns = 60_000, 20_000, 500, 3
    torch.set_num_threads(args.threads)
    if args.load is not None:
        load(args.load, args)
        return 0
    timing.header(arguments)

    rows, found = loaded(arguments, args)
    lines = [
        [what + suffix, f"{seconds:.2f}", f"{memory / 1e9:.2f}"]
        for marks, suffix in zip(found, ("", ", from the cache"), strict=False)
        for what, seconds, memory in marks
    ]
    timing.table([f"{rows:,} ratings", "s", "peak GB so far"], lines)
    most = max(memory for marks in found for _, _, memory in marks)

    sizes = (args.small, args.rows)
    steps = {
        f"{size:,} ratings": meta_step(InMemory(generated.ratings(size, size // ROWS_PER_USER, args.items)), args)
        for size in sizes
    }
    timing.interleaved(steps, 3)  # to warm up
    seconds = timing.interleaved(steps, args.turns)
    timing.table(["meta-step", "ms"], [[name, f"{1000 * value:.2f}"] for name, value in seconds.items()])
    ratio = max(seconds.values()) / min(seconds.values())
    if args.quick:
        return 0
    return timing.verdict(
        [
            (f"{rows:,} ratings load under {most / 1e9:.2f} GB, at most {MOST_MEMORY / 1e9:g}", most <= MOST_MEMORY),
            (f"meta-steps {ratio:.2f} times apart, at most {MOST_SLOWER:g}", ratio <= MOST_SLOWER),
        ]
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
