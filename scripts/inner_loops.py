"""Second-order MAML of whole networks in five libraries: what `bench_inner_loop.py` lets compete on arrays.

python scripts/inner_loops.py conv4 higher    # what one step of one contender adds to the peak of a fresh process
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.functional import cross_entropy

from metarun import memory
from metarun.backbones.conv4 import Conv4
from metarun.backbones.mlp import MLP
from metarun.heads.linear import Linear
from metarun.model import Model, Spec
from metarun.objectives.cross_entropy import CrossEntropy
from metarun.objectives.squared import Squared
from metarun.rule import Batch, Task
from metarun.strategies.gradient import Gradient
from metarun.tasks import outer

OURS, LOOP, VMAP, HIGHER, TORCHOPT = "metarun", "autograd loop", "plain vmap", "higher", "torchopt"
STEPS = 5
Step = Callable[[], Tensor]
Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass
class Problem:
    """The same tasks and the same weights, as metarun sees them and as anybody would write them."""

    rule: Gradient
    task: Task
    network: nn.Module
    loss: Loss
    rate: float
    inexact: dict[str, float] = field(default_factory=dict)  # contender -> how far its gradient may be off

    @property
    def everyone(self) -> list[tuple[Tensor, ...]]:
        """(support inputs, labels, query inputs, labels) of each task."""
        s, q = self.task.support, self.task.query
        return list(zip(s.x, s.y, q.x, q.y, strict=True))

    def gradients(self, contender: str) -> list[Tensor]:
        """Return the meta-gradient that a contender's last step left, in the order of the plain network."""
        if contender != OURS:
            return [p.grad for p in self.network.parameters()]
        head = self.rule.model.head.weight.grad
        return [*(p.grad for p in self.rule.model.backbone.parameters()), head[:-1].T, head[-1]]


def sinusoid(tasks: int = 25, shots: int = 5, queries: int = 10) -> Problem:
    """Return regression of sinusoids by an MLP 40-40, as in Finn et al., ICML 2017."""
    draw = torch.Generator().manual_seed(0)
    height = 0.1 + 4.9 * torch.rand(tasks, 1, generator=draw)
    phase = math.pi * torch.rand(tasks, 1, generator=draw)
    x = 10 * torch.rand(tasks, shots + queries, generator=draw) - 5
    network = nn.Sequential(nn.Linear(1, 40), nn.ReLU(), nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 1))
    spec = Spec(shape=(1,))
    backbone = MLP([40, 40], "none", spec=spec)
    task = cut(x[..., None], height * torch.sin(x - phase), shots)
    return problem(backbone, Squared(), spec, task, network, lambda out, y: (out[:, 0] - y).square().mean(), 0.01)


def conv4(tasks: int = 4, shots: int = 25, queries: int = 25, ways: int = 5) -> Problem:
    """Return 5-way 5-shot classification of made-up 28x28 images by conv4-64 with batch statistics."""
    draw = torch.Generator().manual_seed(0)
    y = (torch.arange(shots + queries) % ways).expand(tasks, -1)
    shapes = torch.rand(tasks, ways, 1, 28, 28, generator=draw)
    x = shapes[torch.arange(tasks)[:, None], y] + 0.3 * torch.rand(tasks, shots + queries, 1, 28, 28, generator=draw)
    layers: list[nn.Module] = []
    for inputs in (1, 64, 64, 64):
        norm = nn.BatchNorm2d(64, track_running_stats=False)
        layers += [nn.Conv2d(inputs, 64, 3, padding=1, bias=False), norm, nn.ReLU(), nn.MaxPool2d(2)]
    network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(64, ways))
    spec = Spec(shape=(1, 28, 28), outputs=ways)
    backbone = Conv4(64, "pool", "query", spec=spec)
    given = problem(backbone, CrossEntropy(), spec, cut(x, y, shots), network, cross_entropy, 0.01)
    # The second derivative of torch 2.13's own batch_norm is wrong in the fourth digit under vmap, in float64 as well.
    given.inexact = {VMAP: 5e-3}
    return given


PROBLEMS = {"sinusoid": sinusoid, "conv4": conv4}


def cut(x: Tensor, y: Tensor, shots: int) -> Task:
    """Return tasks whose first `shots` rows are the support; all rows exist and are known."""

    def part(rows: slice) -> Batch:
        ones = torch.ones(y[:, rows].shape)
        return Batch(x[:, rows].contiguous(), y[:, rows], ones, ones, torch.zeros(len(x), dtype=torch.int64))

    return Task({}, part(slice(0, shots)), part(slice(shots, None)))


def problem(
    backbone: nn.Module, objective: nn.Module, spec: Spec, task: Task, network: nn.Sequential, loss: Loss, rate: float
) -> Problem:
    """Return a problem with the plain network's weights copied into ours."""
    head = Linear(backbone=backbone, spec=spec)
    *body, weight, bias = network.parameters()
    with torch.no_grad():
        for ours, theirs in zip(backbone.parameters(), body, strict=True):
            ours.copy_(theirs)
        head.weight.copy_(torch.cat([weight.T, bias[None]]))
    rule = Gradient(model=Model(backbone, head, objective), moves="all", steps=STEPS, inner_lr=rate)
    return Problem(rule, task, network, loss, rate)


def ours(given: Problem) -> Step:
    """Return our step, whose execution the backbone chooses: under vmap, or task by task."""

    def step() -> Tensor:
        given.rule.zero_grad()
        loss = outer(given.rule, given.task).mean()
        loss.backward()
        return loss.detach()

    return step


def by_task(given: Problem, one: Callable[..., Tensor]) -> Step:
    """Return a Python loop over tasks, each of which is differentiated on its own."""
    everyone = given.everyone

    def step() -> Tensor:
        given.network.zero_grad()
        return torch.stack([one(*task, len(everyone)) for task in everyone]).sum()

    return step


def loop(given: Problem) -> Step:
    """Return a loop over tasks with torch.autograd.grad."""

    def one(x: Tensor, y: Tensor, asked: Tensor, truth: Tensor, tasks: int) -> Tensor:
        weights = dict(given.network.named_parameters())
        for _ in range(STEPS):
            error = given.loss(functional_call(given.network, weights, (x,)), y)
            slopes = torch.autograd.grad(error, list(weights.values()), create_graph=True)
            weights = {name: weights[name] - given.rate * g for name, g in zip(weights, slopes, strict=True)}
        loss = given.loss(functional_call(given.network, weights, (asked,)), truth) / tasks
        loss.backward()
        return loss.detach()

    return by_task(given, one)


def plain_vmap(given: Problem) -> Step:
    """Return torch.func as its tutorial has it: vmap over tasks of grad of the loss."""

    def error(weights: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return given.loss(functional_call(given.network, weights, (x,)), y)

    def outer_loss(x: Tensor, y: Tensor, asked: Tensor, truth: Tensor) -> Tensor:
        weights = dict(given.network.named_parameters())
        for _ in range(STEPS):
            slopes = grad(error)(weights, x, y)
            weights = {name: weights[name] - given.rate * slopes[name] for name in weights}
        return error(weights, asked, truth)

    def step() -> Tensor:
        given.network.zero_grad()
        s, q = given.task.support, given.task.query
        loss = vmap(outer_loss)(s.x, s.y, q.x, q.y).mean()
        loss.backward()
        return loss.detach()

    return step


def with_higher(given: Problem) -> Step:
    """Return a loop over tasks with `higher` (Grefenstette et al., 2019)."""
    import higher

    inner = torch.optim.SGD(given.network.parameters(), lr=given.rate)

    def one(x: Tensor, y: Tensor, asked: Tensor, truth: Tensor, tasks: int) -> Tensor:
        with higher.innerloop_ctx(given.network, inner, copy_initial_weights=False) as (copy, stepper):
            for _ in range(STEPS):
                stepper.step(given.loss(copy(x), y))
            loss = given.loss(copy(asked), truth) / tasks
            loss.backward()
        return loss.detach()

    return by_task(given, one)


def with_torchopt(given: Problem) -> Step:
    """Return a loop over tasks with `torchopt` (Ren et al., JMLR 2023), as its MAML example has it."""
    import torchopt

    def one(x: Tensor, y: Tensor, asked: Tensor, truth: Tensor, tasks: int) -> Tensor:
        start = torchopt.extract_state_dict(given.network, by="reference")
        inner = torchopt.MetaSGD(given.network, lr=given.rate)
        for _ in range(STEPS):
            inner.step(given.loss(given.network(x), y))
        loss = given.loss(given.network(asked), truth) / tasks
        torchopt.recover_state_dict(given.network, start)
        loss.backward()
        return loss.detach()

    return by_task(given, one)


CONTENDERS = {OURS: ours, LOOP: loop, VMAP: plain_vmap, HIGHER: with_higher, TORCHOPT: with_torchopt}


def check(given: Problem, steps: dict[str, Step]) -> dict[str, float]:
    """Run every contender once and return how far its gradient is from the loop's, as a part of its length.

    Raises:
        SystemExit: losses differ in their first five digits, or gradients by more than is known of a contender.
    """
    losses, slopes = {}, {}
    for name, step in steps.items():
        losses[name] = float(step())
        slopes[name] = torch.cat([slope.flatten() for slope in given.gradients(name)]).clone()
    true = slopes[LOOP]
    off = {name: float((slope - true).norm() / true.norm()) for name, slope in slopes.items()}
    wrong = [n for n, loss in losses.items() if abs(loss - losses[LOOP]) > 5e-6 * abs(losses[LOOP])]
    wrong += [n for n in off if off[n] > given.inexact.get(n, 1e-6)]
    if wrong:
        raise SystemExit(f"not the same arithmetic: {wrong}, losses {losses}, gradients off by {off}")
    return off


def added(name: str, contender: str) -> float:
    """Return the MiB that the first step adds to the peak of a process of its own, which has imports and tasks."""
    done = subprocess.run([sys.executable, __file__, name, contender], capture_output=True, text=True, check=True)
    return float(done.stdout)


def main(arguments: list[str]) -> int:
    """Print what one step adds to this process's peak of resident memory, in MiB."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("problem", choices=PROBLEMS)
    parser.add_argument("contender", choices=CONTENDERS)
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    step = CONTENDERS[args.contender](PROBLEMS[args.problem]())
    memory.begin()
    before = memory.peak()
    step()
    print(memory.peak() - before)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
