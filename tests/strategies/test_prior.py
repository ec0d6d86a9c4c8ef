"""Empirical Bayes: the prior that simulated tasks were drawn from comes back, and every round makes them likelier."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal
from toys import model

from metarun.model import Model
from metarun.rule import Batch, Task
from metarun.strategies.prior import Prior, estimate, sums

MEAN = torch.tensor([0.5, -1.0, 0.0, 0.3, 0.2], dtype=torch.float64)
NOISE = 0.49


def truth() -> Tensor:
    root = torch.randn(5, 5, generator=torch.Generator().manual_seed(7), dtype=torch.float64) / 2
    return root @ root.T + 0.1 * torch.eye(5, dtype=torch.float64)


def simulated(made: Model, tasks: int = 1500, rows: int = 30, seed: int = 0) -> Task:
    """Return tasks whose weight is start + N(MEAN, truth) and whose labels have noise NOISE; a third padded."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    ones = torch.ones(tasks, rows, 1, dtype=torch.float64)
    x = torch.cat([normal(tasks, rows, 4), ones, normal(tasks, rows, 1)], -1)
    weight = made.head.weight.detach()[:, 0] + MEAN + normal(tasks, 5) @ torch.linalg.cholesky(truth()).T
    y = (x[..., :-1] @ weight[..., None])[..., 0] + x[..., -1] + math.sqrt(NOISE) * normal(tasks, rows)
    known = (torch.arange(rows) < torch.arange(tasks)[:, None] % 3 * 10 + 10).double()
    y = torch.where(known > 0, y, torch.nan)
    batch = Batch(x, y, known, known, torch.zeros(tasks, dtype=torch.int64))
    return Task({}, batch, batch)


def parts(task: Task) -> Iterator[Task]:
    for rows in torch.arange(len(task.support.y)).split(400):
        batch = Batch(*(leaf[rows] for leaf in task.support))
        yield Task({}, batch, batch)


def likelihood(made: Model, task: Task, prior: Prior) -> float:
    """Return the log-likelihood of the known labels, the weights integrated out, task by task."""
    total = 0.0
    for t in range(len(task.support.y)):
        kept = task.support.known[t] > 0
        x, offset = made.head.split(task.support.x[t][kept])
        mean = x @ (made.head.weight.detach()[:, 0] + prior.mean.double()) + offset[:, 0]
        spread = x @ prior.covariance.double() @ x.T + prior.noise.double() * torch.eye(len(x))
        total += float(MultivariateNormal(mean, spread).log_prob(task.support.y[t][kept]))
    return total


def test_a_known_prior_comes_back() -> None:
    made = model()
    found = estimate(made, parts(simulated(made)))
    assert (found.mean - MEAN).abs().max() < 0.08
    assert (found.covariance - truth()).abs().max() < 0.1 * truth().abs().max()
    assert abs(float(found.noise) - NOISE) < 0.02


def test_every_round_makes_the_tasks_likelier() -> None:
    made = model()
    task = simulated(made, tasks=60, rows=10)
    values = [likelihood(made, task, estimate(made, parts(task), rounds)) for rounds in (1, 2, 4, 8, 25)]
    assert all(after > before - 1e-6 for before, after in pairwise(values))
    assert values[-1] - values[0] > 1


def test_the_estimate_is_likelier_than_the_truth_on_its_own_tasks_only() -> None:
    made = model()
    true = Prior(MEAN, truth(), torch.tensor(NOISE))
    task, fresh = (simulated(made, tasks=60, rows=10, seed=seed) for seed in (0, 1))
    found = estimate(made, parts(task), 100)
    assert likelihood(made, task, found) > likelihood(made, task, true)
    assert likelihood(made, fresh, found) < likelihood(made, fresh, true)


def test_sums_do_not_depend_on_the_batches_and_skip_hidden_rows() -> None:
    made = model()
    task = simulated(made, tasks=9, rows=10)
    for a, b in zip(sums(made, iter([task])), sums(made, parts(task)), strict=True):
        torch.testing.assert_close(a, b)
    s = sums(made, iter([task]))
    kept = task.support.known[0] > 0
    x, offset = made.head.split(task.support.x[0][kept])
    residual = (task.support.y[0][kept] - offset[:, 0] - x @ made.head.weight.detach()[:, 0])[:, None]
    torch.testing.assert_close(s.A[0], x.T @ x)
    torch.testing.assert_close(s.b[0], x.T @ residual)
    torch.testing.assert_close(s.loss[0], residual.square().sum())
    assert s.rows[0] == kept.sum()


def test_users_with_very_few_rows_give_a_finite_prior() -> None:
    made = model()
    task = simulated(made, tasks=30, rows=3)
    found = estimate(made, iter([task]))
    assert all(torch.isfinite(part).all() for part in found)
    assert torch.linalg.eigvalsh(found.covariance).min() > 0
    assert found.noise > 0
