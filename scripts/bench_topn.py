"""Implicit ALS and full rankings at the size of ml-1m: a sweep against one of `implicit`, users ranked per second.

A sweep of ours solves every system exactly, one of `implicit` takes three steps of conjugate gradients. ml-1m is used
where the data folder (METARUN_DATA) has it, otherwise generated ratings of the same size.

    python scripts/bench_topn.py [--quick]
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import generated
import timing
import torch
from torch import Tensor

from metarun.backbones.mf import MatrixFactorisation
from metarun.data import movielens
from metarun.data.ratings import Ratings
from metarun.errors import MetarunError
from metarun.heads.linear import Linear
from metarun.metrics.topn import coverage, list_metrics, top
from metarun.model import Model, Spec
from metarun.objectives.ranking import Ranking
from metarun.pretraining.ials import ImplicitALS

SLOWEST, FEWEST, MOST_MEMORY = 0.5, 15_000, 1e9
OURS, THEIRS = "metarun, exact", "implicit, 3 CG steps"


def interactions(args: argparse.Namespace) -> Ratings:
    """Return ml-1m where it is at hand, else a table of its size."""
    folder = os.environ.get("METARUN_DATA")
    if folder and not args.quick and not args.generated:
        try:
            return movielens.read("1m", Path(folder), None, None)
        except MetarunError as error:
            print(f"no ml-1m ({error}), generated ratings instead")
    return generated.ratings(args.rows, args.users, args.items)


def ours(data: Ratings, args: argparse.Namespace) -> tuple[ImplicitALS, Callable[[], None]]:
    """Return our task and a function that sweeps once."""
    torch.manual_seed(args.seed)
    spec = Spec({"user": data.n_users, "item": data.n_items})
    backbone = MatrixFactorisation(args.dim, False, spec=spec)
    model = Model(backbone, Linear(backbone=backbone, spec=spec), Ranking("implicit", 1, 0.1))
    task = ImplicitALS(1, unobserved=0.3, l2=0.01, power=1.0, model=model, spec=spec)
    item = torch.from_numpy(data.item)
    columns = SimpleNamespace(item=item, value=torch.ones(len(item)))
    source = SimpleNamespace(user=torch.from_numpy(data.user), columns=columns, kept=torch.arange(len(item)))
    return task, lambda: task.sweep(0, source)


def theirs(data: Ratings, args: argparse.Namespace) -> Callable[[], None] | None:
    """Return a function that runs `--sweeps` iterations of `implicit`; None where it is not installed."""
    try:
        import implicit
        import scipy.sparse
        import threadpoolctl
    except ImportError:
        return None
    threadpoolctl.threadpool_limits(1, "blas")  # it asks for this, its threads are its own
    ones = torch.ones(len(data.user)).numpy()
    table = scipy.sparse.csr_matrix((ones, (data.user, data.item)), shape=(data.n_users, data.n_items))
    model = implicit.als.AlternatingLeastSquares(
        factors=args.dim, num_threads=args.threads, iterations=args.sweeps, random_state=args.seed
    )
    return lambda: model.fit(table, show_progress=False)


def ranking(task: ImplicitALS, data: Ratings, args: argparse.Namespace) -> Callable[[], dict[str, Tensor]]:
    """Return a function that ranks everything for everybody: scores, mask, lists, metrics, coverage."""
    users = task.known({}).detach()
    items = task.model.backbone.vectors.weight.detach()
    user, item = torch.from_numpy(data.user).long(), torch.from_numpy(data.item).long()
    held = torch.arange(len(user)) % 10 == 0  # stands for held-out rows; all others are seen

    def rank() -> dict[str, Tensor]:
        found: list[dict[str, Tensor]] = []
        lists = []
        for first in range(0, len(users), args.chunk):
            block = users[first : first + args.chunk]
            begin, end = data.offsets[first], data.offsets[first + len(block)]
            pairs, out = torch.stack([user[begin:end] - first, item[begin:end]], 1), held[begin:end]
            lists.append(top(block @ items.T, pairs[~out], args.k))
            relevant = torch.zeros(len(block), len(items), dtype=torch.bool)
            relevant[pairs[out, 0], pairs[out, 1]] = True
            found.append(list_metrics(relevant.gather(1, lists[-1]), relevant.sum(1), args.k))
        values = {name: torch.cat([part[name] for part in found]) for name in found[0]}
        return {**values, "coverage": coverage(torch.cat(lists), len(items))}

    return rank


def peak() -> float:
    """Return the largest memory that this process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main(arguments: list[str]) -> int:
    """Run the benchmark and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_209, help="generated ratings")
    parser.add_argument("--users", type=int, default=6_040, help="generated users")
    parser.add_argument("--items", type=int, default=3_706, help="generated films")
    parser.add_argument("--generated", action="store_true", help="generated ratings even where ml-1m is at hand")
    parser.add_argument("--dim", type=int, default=64, help="K, width of the vectors")
    parser.add_argument("--k", type=int, default=20, help="length of a list")
    parser.add_argument("--chunk", type=int, default=512, help="users ranked at a time")
    parser.add_argument("--sweeps", type=int, default=3, help="iterations of implicit in a turn")
    parser.add_argument("--turns", type=int, default=5, help="turns that the medians are taken over")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch and of implicit")
    parser.add_argument("--seed", type=int, default=0, help="of the first vectors")
    parser.add_argument("--quick", action="store_true", help="few ratings and one turn: shows that it runs, no bar")
    args = parser.parse_args(arguments)
    if args.quick:
        args.rows, args.users, args.items, args.turns, args.sweeps = 20_000, 200, 500, 1, 1
    torch.set_num_threads(args.threads)
    timing.header(arguments)

    data = interactions(args)
    print(f"{data.name}: {len(data.user):,} interactions, {data.n_users:,} users, {data.n_items:,} items, K={args.dim}")
    task, sweep = ours(data, args)
    contenders: dict[str, Callable[[], Any]] = {OURS: sweep}
    other = theirs(data, args)
    if other is not None:
        contenders[THEIRS] = other
    timing.interleaved(contenders, 1)  # to warm up, and to group the rows
    seconds = timing.interleaved(contenders, args.turns)
    if other is not None:
        seconds[THEIRS] /= args.sweeps
    rows = [[name, f"{seconds[name]:.3f}", f"{seconds[name] / seconds[OURS]:.2f}"] for name in contenders]
    timing.table(["implicit ALS", "s / sweep", "of ours"], rows)

    rank = ranking(task, data, args)
    values = rank()
    taken = timing.interleaved({"rank": rank}, args.turns)["rank"]
    memory, rate = peak(), data.n_users / taken
    named = ["users / s", "MB of the process", f"ndcg@{args.k}", "coverage"]
    told = [
        f"{rate:,.0f}",
        f"{memory / 1e6:.0f}",
        f"{values[f'ndcg@{args.k}'].nanmean():.4f}",
        f"{values['coverage']:.3f}",
    ]
    timing.table(["full ranking", *named], [[f"{args.chunk} at a time", *told]])
    if args.quick:
        return 0
    return timing.verdict(
        [
            (f"{seconds[OURS]:.2f} s per sweep, at most {SLOWEST}", seconds[OURS] <= SLOWEST),
            (f"{rate:,.0f} users a second, at least {FEWEST:,}", rate >= FEWEST),
            (f"{memory / 1e6:.0f} MB for everything, at most {MOST_MEMORY / 1e6:.0f}", memory <= MOST_MEMORY),
        ]
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
