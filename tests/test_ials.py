"""Implicit ALS against a dense solution, and what it refuses."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from toys import composed, spec

from metarun import build
from metarun.errors import MetarunError
from metarun.model import Spec
from metarun.pretraining import ials
from metarun.pretraining.ials import ImplicitALS

USERS, ITEMS, DIM = 40, 25, 4
UNOBSERVED, L2, POWER = 0.2, 0.05, 0.7
SPEC = Spec({"item": ITEMS, "user": USERS})


def weights(ones: bool = False) -> Tensor:
    """Weights of interactions (USERS, ITEMS), 0 where there is none; user 3 and item 5 have none at all."""
    generator = torch.Generator().manual_seed(0)
    chance = torch.rand(USERS, 1, generator=generator) * torch.rand(1, ITEMS, generator=generator)
    found = (torch.rand(USERS, ITEMS, generator=generator) < 2 * chance) * (1 + torch.arange(ITEMS) % 3)
    found[3], found[:, 5] = 0, 0
    return (found > 0).float() if ones else found.float()


def source(table: Tensor, seed: int = 0) -> Any:
    """The same as rows in any order, between rows that are not kept."""
    user, item = table.nonzero().T
    kept = 1 + 2 * torch.randperm(len(user), generator=torch.Generator().manual_seed(seed))
    size = int(kept.max()) + 1
    columns = [torch.zeros(size, dtype=torch.int32), torch.zeros(size, dtype=torch.int32), torch.zeros(size)]
    for column, values in zip(columns, (user, item, table[user, item]), strict=True):
        column[kept] = values.to(column.dtype)
    return SimpleNamespace(user=columns[0], columns=SimpleNamespace(item=columns[1], value=columns[2]), kept=kept.int())


def made(*overrides: str, sweeps: int = 3) -> ImplicitALS:
    cfg = composed("backbone.bias=false", *overrides)
    return ImplicitALS(sweeps, UNOBSERVED, L2, POWER, model=build.model(cfg, SPEC), spec=SPEC)


def dense(table: Tensor, fixed: Tensor) -> Tensor:
    """One side's vectors, row by row, in double precision."""
    fixed, rows = fixed.double(), []
    for weight in table.double():
        known = weight > 0
        if not known.any():
            rows.append(torch.zeros(DIM, dtype=torch.float64))
            continue
        matrix = UNOBSERVED * fixed.T @ fixed + (fixed.T * weight) @ fixed
        matrix += L2 * (known.sum() + UNOBSERVED * len(fixed)) ** POWER * torch.eye(DIM)
        rows.append(torch.linalg.solve(matrix, fixed.T @ weight))
    return torch.stack(rows)


@pytest.mark.parametrize("cells", [ials.CELLS, 64, 1])
@pytest.mark.parametrize("ones", [False, True])
def test_a_sweep_is_the_dense_solution(cells: int, ones: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ials, "CELLS", cells)
    table, task = weights(ones), made()
    items = task.model.backbone.vectors.weight.detach() * (table.sum(0) > 0)[:, None]
    task.begin(table[table > 0])
    for number in range(2):
        task.sweep(number, source(table))
        users = dense(table, items)
        items = dense(table.T, users)
        torch.testing.assert_close(task.known({}).double(), users, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(task.model.backbone.vectors.weight.double(), items, rtol=1e-4, atol=1e-4)
        items = items.float()
    assert task.model.backbone.vectors.weight[5].abs().sum() == 0


def test_sweeps_lower_the_objective() -> None:
    table, task, values = weights(True), made(), []
    for number in range(6):
        task.sweep(number, source(table))
        users, items = task.known({}).detach(), task.model.backbone.vectors.weight.detach()
        out = users @ items.T
        sizes = [(table.sum(1), users, ITEMS), (table.sum(0), items, USERS)]
        length = sum((((n + UNOBSERVED * N) ** POWER) * v.square().sum(1)).sum() for n, v, N in sizes)
        values.append(float((table * (out - 1) ** 2).sum() + UNOBSERVED * out.square().sum() + L2 * length))
    assert values == sorted(values, reverse=True)


def test_finish_moves_the_start_to_the_mean_user_and_a_later_sweep_does_not_mind() -> None:
    table, task, alone = weights(), made(), made()
    rows, users = source(table), torch.arange(USERS)[table.sum(1) > 0]
    task.sweep(0, rows)
    before = task.known({}).clone()
    task.finish(users)
    torch.testing.assert_close(task.known({}), before)
    torch.testing.assert_close(task.model.head.weight[:, 0], before[users].mean(0))
    task.sweep(1, rows)
    for number in range(2):
        alone.sweep(number, rows)
    torch.testing.assert_close(task.known({}), alone.known({}))
    torch.testing.assert_close(task.model.backbone.vectors.weight, alone.model.backbone.vectors.weight)


def test_state_dict_between_sweeps_is_all_there_is() -> None:
    table, task, resumed = weights(), made(), made()
    task.sweep(0, source(table))
    with torch.no_grad():
        resumed.model.backbone.vectors.weight.fill_(7.0)
    resumed.load_state_dict(task.state_dict())
    task.sweep(1, source(table))
    resumed.sweep(1, source(table))
    for name, value in task.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_backbones_with_more_than_a_vector_are_refused() -> None:
    with pytest.raises(MetarunError, match=r"backbone\.bias=false"):
        made("backbone.bias=true")
    cfg = composed("backbone=mf_features", "backbone.bias=false")
    with pytest.raises(MetarunError, match="FeatureFactorisation"):
        ImplicitALS(1, UNOBSERVED, L2, POWER, model=build.model(cfg, spec()), spec=spec())


def test_values_that_are_no_weights_are_refused() -> None:
    with pytest.raises(MetarunError, match=r"found -2: set dataset\.positive"):
        made().begin(torch.tensor([1.0, -2.0]))
