"""Tasks per second of the meta-update in one process, in two that share the tasks of a step, and in one of two threads.

The work is arithmetic: the outer gradient goes through a network of two hidden layers of 512 units, over 40 ratings of
each of 256 users, to a head that adapts by one step. The processes are started afresh in every turn and take turns;
only their steps are timed, after the first two. All of them must have the same losses to 5 digits.

    python scripts/bench_scaling.py [--quick]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import generated
import numpy as np
import timing
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from metarun import ranks
from metarun.data.split import SOURCE, segments
from metarun.data.tasks_of_users import Columns, UserTasks
from metarun.heads.linear import Linear
from metarun.model import Model, Spec
from metarun.objectives.squared import Squared
from metarun.stages.loop import fit
from metarun.stages.meta import Meta
from metarun.strategies.gradient import Gradient
from metarun.supervisor import free_port

AT_LEAST, ROWS, WARM = 1.6, 20, 2
ITEMS = 2_000
CONTEXT = multiprocessing.get_context("forkserver")


class Contender(NamedTuple):
    """How many processes, and of how many threads each."""

    name: str
    processes: int
    threads: int


ONE, TWO, THREADS = (
    Contender("1 process of 1 thread", 1, 1),
    Contender("2 processes of 1 thread", 2, 1),
    Contender("1 process of 2 threads", 1, 2),
)


class Network(nn.Module):
    """Item id to features (64) through two hidden layers."""

    bias, context, side, offset_last, content = False, 0, 1.0, False, False
    out_features = 64
    tables: ClassVar[dict[str, list[str]]] = {"item": ["table.weight"]}

    def __init__(self, units: int) -> None:
        super().__init__()
        self.table = nn.Embedding(ITEMS, self.out_features).requires_grad_(False)
        sizes = [self.out_features, units, units, self.out_features]
        layers: list[nn.Module] = []
        for wide, next_ in pairwise(sizes):
            layers += [nn.Linear(wide, next_), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: dict[str, Tensor]) -> Tensor:
        """Return features (B, 64)."""
        out: Tensor = self.layers(self.table(x["item"]))
        return out


class Timed(Meta):
    """The meta-update, whose steps are timed."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.at: list[float] = []
        self.losses: list[float] = []

    def on_train_batch_end(self, *_: Any) -> None:
        """Note the time and the loss of all tasks."""
        self.losses.append(float(self.recent))
        self.at.append(time.perf_counter())


def work(number: int, contender: Contender, port: int, args: argparse.Namespace, tell: Connection) -> None:
    """Be one process of a contender: take the steps and tell (seconds per step, losses)."""
    os.environ |= {"RANK": str(number), "WORLD_SIZE": str(contender.processes), "LOCAL_RANK": str(number)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(contender.threads)
    cfg = OmegaConf.create({"trainer": {"accelerator": "cpu", "devices": contender.processes, "nodes": 1}})
    ranks.join(cfg)
    data = generated.ratings(100_000, 1_000, ITEMS)
    found = segments(data, np.full(len(data.user), SOURCE, np.uint8), 0, False)
    users = np.arange(data.n_users)
    tasks = UserTasks(Columns(data, found), found, users, [ROWS], ROWS, seed=args.seed, random=True)
    torch.manual_seed(args.seed)
    backbone, spec = Network(args.units), Spec({"item": ITEMS})
    head = Linear(backbone=backbone, spec=spec)
    rule = Gradient(model=Model(backbone, head, Squared()), steps=1, inner_lr=0.1, learns="all")
    backbone.table.requires_grad_(False)
    mine = ranks.part(args.tasks)
    stage = Timed(rule, 0.001, args.steps, True, (mine.stop - mine.start) / args.tasks)

    def batch(step: int) -> Any:
        first = step * args.tasks
        return tasks.batch(torch.arange(first + mine.start, first + mine.stop))

    with tempfile.TemporaryDirectory() as folder:
        fit(stage, batch, args.steps, Path(folder), contender.name, trainer=cfg.trainer, save_every=10**9)
    tell.send(((stage.at[-1] - stage.at[WARM - 1]) / (args.steps - WARM), stage.losses))


def run(contender: Contender, args: argparse.Namespace) -> tuple[float, list[float]]:
    """Let a contender take its steps; return the seconds per step and the losses as its first process saw them."""
    port, started, ends = free_port(), [], []
    for number in range(contender.processes):
        end, tell = CONTEXT.Pipe(duplex=False)
        process = CONTEXT.Process(target=work, args=(number, contender, port, args, tell), daemon=True)
        process.start()
        tell.close()
        started.append(process)
        ends.append(end)
    found: list[tuple[float, list[float]]] = [end.recv() for end in ends]
    for process in started:
        process.join(60)
    return found[0]


def main(arguments: list[str]) -> int:
    """Run the benchmark and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--units", type=int, default=512, help="of each hidden layer")
    parser.add_argument("--tasks", type=int, default=256, help="users per meta-step, shared by the processes")
    parser.add_argument("--steps", type=int, default=12, help="meta-steps in one turn of a contender")
    parser.add_argument("--turns", type=int, default=5, help="turns that the medians are taken over")
    parser.add_argument("--seed", type=int, default=0, help="of weights and tasks")
    parser.add_argument("--quick", action="store_true", help="a small network and one turn: shows that it runs, no bar")
    args = parser.parse_args(arguments)
    if args.quick:
        args.units, args.tasks, args.steps, args.turns = 32, 17, 4, 1
    timing.header(arguments)
    CONTEXT.set_forkserver_preload(["metarun.run", "metarun.strategies.gradient"])

    taken: dict[Contender, list[float]] = {ONE: [], TWO: [], THREADS: []}
    whole: list[float] = []
    for _ in range(args.turns):
        for contender, seconds in taken.items():
            each, losses = run(contender, args)
            seconds.append(each)
            whole = whole or losses
            worst = max(abs(a - b) / abs(a) for a, b in zip(whole, losses, strict=True))
            if worst > 1e-5:
                raise SystemExit(f"not the same arithmetic: {contender.name} has losses {losses}, the first {whole}")
    each = {contender: statistics.median(seconds) for contender, seconds in taken.items()}
    rows = [
        [c.name, f"{s:.3f}", f"{args.tasks / s:,.0f}", f"{each[ONE] / s:.2f}", f"{whole[-1]:.5g}"]
        for c, s in each.items()
    ]
    timing.table([f"{args.units} units", "s / step", "tasks/s", "times", "last loss"], rows)
    if args.quick:
        return 0
    times = each[ONE] / each[TWO]
    return timing.verdict([(f"{times:.2f} times with two processes, at least {AT_LEAST}", times >= AT_LEAST)])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
