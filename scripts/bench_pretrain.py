"""An epoch of matrix factorisation through our Lightning stage, against a plain loop over sliced tensors.

Both run the same arithmetic on the same batches at the size of ml-1m, and must end at the same loss.

    python scripts/bench_pretrain.py [--quick]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import generated
import numpy as np
import timing
import torch
from omegaconf import OmegaConf
from torch import Tensor
from torch.nn.functional import embedding

from metarun.backbones.mf import MatrixFactorisation
from metarun.data.source import Source
from metarun.data.split import SOURCE, segments
from metarun.data.tasks_of_users import Columns
from metarun.heads.linear import Linear
from metarun.model import Model, Spec
from metarun.objectives.squared import Squared
from metarun.pretraining.factorisation import Factorisation
from metarun.stages.loop import fit
from metarun.stages.pretrain import Pretrain

AT_MOST = 1.15
L2, BIAS_L2, DROP = 0.08, 0.005, 0.2


def task(users: int, items: int, args: argparse.Namespace) -> Factorisation:
    """Return a fresh pretraining task, always the same."""
    torch.manual_seed(args.seed)
    spec = Spec({"user": users, "item": items})
    backbone = MatrixFactorisation(args.dim, True, spec=spec)
    model = Model(backbone, Linear(backbone=backbone, spec=spec), Squared())
    made = Factorisation(args.epochs, args.batch, args.lr, L2, BIAS_L2, DROP, 0.0, "mean", model=model, spec=spec)
    backbone.mean.fill_(3.0)
    return made


def ours(made: Factorisation, source: Source, args: argparse.Namespace) -> float:
    """Train through the stage, with everything that it and Lightning do; return the last loss."""
    steps = args.epochs * len(source)
    stage = Pretrain(made, steps, args.seed)
    trainer = OmegaConf.create({"accelerator": "cpu"})
    with tempfile.TemporaryDirectory() as folder:
        fit(stage, source.batch, steps, Path(folder), "pretrain", trainer=trainer, save_every=args.save_every)
    return float(stage.recent)


def plain(made: Factorisation, columns: tuple[Tensor, Tensor, Tensor], args: argparse.Namespace) -> float:
    """Train by a loop that anybody would write: columns shuffled once per epoch, slices of them, Adam; no frame."""
    user, item, value = columns
    parameters, mean = separate(made), made.model.backbone.mean
    tastes, biases, films, offsets, taste, bias = parameters
    steps, step = args.epochs * -(-len(value) // args.batch), 0
    adam = torch.optim.Adam(parameters, args.lr)
    for epoch in range(args.epochs):
        order = torch.randperm(len(value), generator=torch.Generator().manual_seed(args.seed * 1_000_003 + epoch))
        shuffled_user, shuffled_item, shuffled_value = user[order], item[order], value[order]
        for first in range(0, len(value), args.batch):
            part = slice(first, first + args.batch)
            u, i, y = shuffled_user[part], shuffled_item[part], shuffled_value[part]
            generator = torch.Generator().manual_seed(args.seed * 1_000_003 + step)
            kept = torch.rand(len(y), generator=generator) >= DROP
            film, offset = embedding(i, films), offsets[i]
            own, level = embedding(u, tastes) * kept[:, None], biases[u] * kept
            out = (film * (own + taste)).sum(-1) + level + bias + mean + offset
            penalty = L2 * (own.square().sum(-1) + film.square().sum(-1)) + BIAS_L2 * (level.square() + offset.square())
            loss = ((out - y).square() + penalty).mean()
            adam.param_groups[0]["lr"] = args.lr * (1 - step / steps)
            adam.zero_grad()
            loss.backward()
            adam.step()
            step += 1
    return float(loss.detach())


def separate(made: Factorisation) -> list[Tensor]:
    """Return user vectors and biases, film vectors and biases, mean vector and bias: a tensor each, to be learned."""
    own, head, backbone = made.users.weight, made.model.head.weight[:, 0], made.model.backbone
    found = [own[:, :-1], own[:, -1], backbone.vectors.weight, backbone.item_bias, head[:-1], head[-1]]
    return [tensor.detach().clone().requires_grad_() for tensor in found]


def main(arguments: list[str]) -> int:
    """Run the benchmark and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_209, help="ratings")
    parser.add_argument("--users", type=int, default=6_040, help="users")
    parser.add_argument("--items", type=int, default=3_706, help="films")
    parser.add_argument("--dim", type=int, default=32, help="K, width of the vectors")
    parser.add_argument("--batch", type=int, default=16_384, help="ratings per step")
    parser.add_argument("--epochs", type=int, default=1, help="epochs in one call of the stage")
    parser.add_argument("--lr", type=float, default=0.02, help="rate of Adam at the start")
    parser.add_argument("--save-every", type=int, default=200, help="steps between our checkpoints")
    parser.add_argument("--turns", type=int, default=15, help="turns that the medians are taken over")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    parser.add_argument("--seed", type=int, default=0, help="of weights, batches and dropped users")
    parser.add_argument("--quick", action="store_true", help="few ratings and one turn: shows that it runs, no bar")
    args = parser.parse_args(arguments)
    if args.quick:
        args.rows, args.users, args.items, args.turns, args.batch = 20_000, 200, 500, 1, 4_096
    torch.set_num_threads(args.threads)
    timing.header(arguments)

    data = generated.ratings(args.rows, args.users, args.items)
    found = segments(data, np.full(len(data.user), SOURCE, np.uint8), args.seed, False)
    order = torch.from_numpy(found.order)
    source = Source(Columns(data, found), torch.from_numpy(data.user), order, args.batch, args.seed)
    user, item, value = (torch.from_numpy(column)[order] for column in (data.user, data.item, data.value))
    columns = user.long(), item.long(), value  # the same rows in the same order

    last: dict[str, float] = {}

    def run_ours() -> None:
        source.epoch = -1  # no shuffled order left over from the turn before
        last["metarun"] = ours(task(args.users, args.items, args), source, args)

    def run_plain() -> None:
        last["plain loop"] = plain(task(args.users, args.items, args), columns, args)

    contenders = {"metarun": run_ours, "plain loop": run_plain}
    timing.interleaved(contenders, 1)  # to warm up
    seconds = timing.interleaved(contenders, args.turns)
    if abs(last["metarun"] - last["plain loop"]) > 5e-6 * last["plain loop"]:
        raise SystemExit(f"not the same arithmetic: last losses {last}")
    rows = [[name, f"{seconds[name] / args.epochs:.3f}", f"{last[name]:.6g}"] for name in contenders]
    timing.table([f"{len(data.user):,} ratings", "s / epoch", "last loss"], rows)
    ratio = seconds["metarun"] / seconds["plain loop"]
    if args.quick:
        return 0
    return timing.verdict([(f"{ratio:.3f} times the plain loop, at most {AT_MOST}", ratio <= AT_MOST)])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
