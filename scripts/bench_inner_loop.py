"""Tasks per second of a meta-step, second-order MAML: of a head for cold users, of an MLP, of a convolutional network.

One step is the outer forward and backward pass over a batch of tasks. Cold users have 20 support and 20 query ratings
and move the head; there, ours pays for its sampler, too, and the others get their tasks ready made. Sinusoids (MLP
40-40, 5-shot) and 28x28 images (conv4-64, 5-way 5-shot) move all weights in 5 steps. All contenders start from the same
numbers and must find the same loss: networks in float64 on one task of each batch, since in float32 a ReLU at its kink
turns the last bits into the fifth digit.

MiB is what the first step adds to the peak of resident memory of a fresh process that has imported everything and made
its tasks: weights, graphs, gradients, work space of libraries. The loops free a task's graph early.

    python scripts/bench_inner_loop.py [--quick]
"""

from __future__ import annotations

import argparse
import sys

import generated
import inner_loops
import timing
import torch
from inner_loops import HIGHER, LOOP, OURS, VMAP, Step
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from metarun.backbones.mf import MatrixFactorisation
from metarun.data.split import SOURCE, segments
from metarun.data.tasks_of_users import Columns, UserTasks
from metarun.heads.linear import Linear
from metarun.model import Model, Spec
from metarun.objectives.squared import Squared
from metarun.rule import Task
from metarun.strategies.gradient import Gradient
from metarun.tasks import outer

ROWS, AT_LEAST = 20, 20.0
NETWORKS_AT_LEAST = {"sinusoid": 5.0, "conv4": 1.0}
TURNS = {"sinusoid": 9, "conv4": 3}
QUICK = {"sinusoid": {"tasks": 3}, "conv4": {"tasks": 1, "shots": 5, "queries": 5}}


class User(nn.Module):
    """What anybody would write: a linear head that is the user, on features that are computed once per user."""

    def __init__(self, made: Gradient) -> None:
        super().__init__()
        self.weight = nn.Parameter(made.model.head.weight.detach().clone())

    def forward(self, features: Tensor) -> Tensor:
        """Return the predicted ratings (B,) for features (B, K + 2): film vector, 1, offset."""
        return (features[:, :-1] @ self.weight)[:, 0] + features[:, -1]


def rule(items: int, args: argparse.Namespace) -> Gradient:
    """Return second-order MAML on the head over random film vectors."""
    torch.manual_seed(args.seed)
    spec = Spec({"item": items})
    backbone = MatrixFactorisation(args.dim, True, spec=spec)
    nn.init.normal_(backbone.item_bias, std=0.3)
    backbone.mean.fill_(3.5)
    head = Linear(backbone=backbone, spec=spec)
    nn.init.normal_(head.weight, std=0.1)
    return Gradient(model=Model(backbone, head, Squared()), steps=args.steps, inner_lr=args.rate, learns="head")


def ours(made: Gradient, tasks: UserTasks, indices: Tensor) -> Step:
    """Return our step: sample, encode, adapt all users at once, differentiate."""

    def step() -> Tensor:
        made.zero_grad()
        loss = outer(made, tasks.batch(indices)).mean()
        loss.backward()
        return loss.detach()

    return step


def loop(user: User, films: nn.Module, task: Task, args: argparse.Namespace) -> Step:
    """Return a Python loop over users with torch.autograd.grad."""
    everyone = ready(task)

    def step() -> Tensor:
        user.zero_grad()
        total = torch.zeros(())
        for item, y, asked, truth in everyone:
            known, new, weight = films({"item": item}), films({"item": asked}), user.weight
            for _ in range(args.steps):
                error = (functional_call(user, {"weight": weight}, (known,)) - y).square().mean()
                (slope,) = torch.autograd.grad(error, weight, create_graph=True)
                weight = weight - args.rate * slope
            loss = (functional_call(user, {"weight": weight}, (new,)) - truth).square().mean() / len(everyone)
            loss.backward()
            total += loss.detach()
        return total

    return step


def plain_vmap(user: User, films: nn.Module, task: Task, args: argparse.Namespace) -> Step:
    """Return torch.func as its tutorial has it: vmap over users of grad of the loss."""

    def error(weight: Tensor, features: Tensor, y: Tensor) -> Tensor:
        return (functional_call(user, {"weight": weight}, (features,)) - y).square().mean()

    def outer_loss(item: Tensor, y: Tensor, asked: Tensor, truth: Tensor) -> Tensor:
        known, new, weight = films({"item": item}), films({"item": asked}), user.weight
        for _ in range(args.steps):
            weight = weight - args.rate * grad(error)(weight, known, y)
        return error(weight, new, truth)

    def step() -> Tensor:
        user.zero_grad()
        loss = vmap(outer_loss)(task.support.x["item"], task.support.y, task.query.x["item"], task.query.y).mean()
        loss.backward()
        return loss.detach()

    return step


def with_higher(user: User, films: nn.Module, task: Task, args: argparse.Namespace) -> Step:
    """Return a Python loop over users with `higher` (Grefenstette et al., 2019)."""
    import higher

    everyone = ready(task)
    inner = torch.optim.SGD([user.weight], lr=args.rate)

    def step() -> Tensor:
        user.zero_grad()
        total = torch.zeros(())
        for item, y, asked, truth in everyone:
            known, new = films({"item": item}), films({"item": asked})
            with higher.innerloop_ctx(user, inner, copy_initial_weights=False) as (copy, stepper):
                for _ in range(args.steps):
                    stepper.step((copy(known) - y).square().mean())
                loss = (copy(new) - truth).square().mean() / len(everyone)
                loss.backward()
            total += loss.detach()
        return total

    return step


def ready(task: Task) -> list[tuple[Tensor, ...]]:
    """Return (support films, ratings, query films, ratings) of each user."""
    return list(zip(task.support.x["item"], task.support.y, task.query.x["item"], task.query.y, strict=True))


def check(steps: dict[str, Step], parameters: dict[str, nn.Parameter]) -> float:
    """Run every contender once and return the loss.

    Raises:
        SystemExit: losses differ in their first five digits, or the gradients do.
    """
    losses = {name: float(step()) for name, step in steps.items()}
    slopes = {name: parameters[name].grad for name in steps}
    wrong = [n for n, loss in losses.items() if abs(loss - losses[LOOP]) > 5e-6 * abs(losses[LOOP])]
    wrong += [n for n, slope in slopes.items() if not torch.allclose(slope, slopes[LOOP], rtol=1e-4, atol=1e-6)]
    if wrong:
        raise SystemExit(f"not the same arithmetic: {wrong}, losses {losses}")
    return losses[OURS]


def users(args: argparse.Namespace) -> list[tuple[str, bool]]:
    """Print tasks per second of heads for cold users and return the bars."""
    data = generated.ratings(100_000, 1_000, 2_000)
    found = segments(data, (data.user * 0 + SOURCE).astype("uint8"), 0, False)
    columns = Columns(data, found)
    every = torch.arange(data.n_users).numpy()
    tasks = UserTasks(columns, found, every, [ROWS], ROWS, seed=args.seed, random=True)
    rows, bars = [], []
    for number in args.users:
        made, indices = rule(data.n_items, args), torch.arange(number)
        task, user, films = tasks.batch(indices), User(made), made.model.backbone
        assert bool(task.support.known.all() and task.query.known.all()), "every user has 20 + 20 ratings"
        steps = {
            OURS: ours(made, tasks, indices),
            LOOP: loop(user, films, task, args),
            VMAP: plain_vmap(user, films, task, args),
            HIGHER: with_higher(user, films, task, args),
        }
        loss = check(steps, {name: made.model.head.weight if name == OURS else user.weight for name in steps})
        seconds = timing.interleaved(steps, args.turns)
        rows.append([str(number), *(f"{number / seconds[name]:,.0f}" for name in steps)])
        rows[-1] += [f"{seconds[other] / seconds[OURS]:.1f}" for other in (LOOP, VMAP, HIGHER)] + [f"{loss:.5g}"]
        if number == 256:
            for other in (LOOP, HIGHER):
                times = seconds[other] / seconds[OURS]
                bars.append((f"{times:.1f} times {other} at 256 users, at least {AT_LEAST:g}", times >= AT_LEAST))
    timing.table(["users", *(f"{name}/s" for name in steps), "x loop", "x vmap", "x higher", "loss of all"], rows)
    return bars


def networks(name: str, args: argparse.Namespace) -> list[tuple[str, bool]]:
    """Print tasks per second and memory of inner loops over whole networks and return the bar."""
    made, size = inner_loops.PROBLEMS[name], QUICK[name] if args.quick else {}
    torch.set_default_dtype(torch.float64)
    try:
        small = made(**{**size, "tasks": 1})
    finally:
        torch.set_default_dtype(torch.float32)
    off = inner_loops.check(small, {n: build(small) for n, build in inner_loops.CONTENDERS.items()})
    given = made(**size)
    steps = {n: build(given) for n, build in inner_loops.CONTENDERS.items()}
    seconds = timing.interleaved(steps, 1 if args.quick else TURNS[name])
    tasks, rows = len(given.task.support.y), []
    for other in steps:
        used = "-" if args.quick else f"{inner_loops.added(name, other):,.0f}"
        times = f"{seconds[other] / seconds[OURS]:.2f}"
        rows.append(
            [other, f"{tasks / seconds[other]:,.1f}", f"{1e3 * seconds[other]:,.0f}", times, f"{off[other]:.0e}", used]
        )
    print()
    timing.table([f"{name}, {tasks} tasks", "tasks/s", "ms", "x metarun", "gradient off", "MiB"], rows)
    times = seconds[LOOP] / seconds[OURS]
    told = f"{times:.2f} times {LOOP} on {name}, at least {NETWORKS_AT_LEAST[name]:g}"
    return [] if args.quick else [(told, times >= NETWORKS_AT_LEAST[name])]


def main(arguments: list[str]) -> int:
    """Run the benchmark and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, nargs="+", default=[32, 64, 256, 1024], help="users per meta-step")
    parser.add_argument("--dim", type=int, default=32, help="K, width of the film vectors")
    parser.add_argument("--steps", type=int, default=5, help="inner steps")
    parser.add_argument("--rate", type=float, default=0.1, help="inner rate")
    parser.add_argument("--turns", type=int, default=9, help="turns that the medians are taken over")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    parser.add_argument("--seed", type=int, default=0, help="of weights and tasks")
    parser.add_argument("--quick", action="store_true", help="few users and one turn: shows that it runs, no bar")
    args = parser.parse_args(arguments)
    if args.quick:
        args.users, args.turns = [4, 16], 1
    torch.set_num_threads(args.threads)
    timing.header(arguments)

    bars = users(args)
    for name in ("sinusoid", "conv4"):
        bars += networks(name, args)
    return timing.verdict(bars)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
