"""Incremental matrix factorisation against numbers worked out by hand, and what forgetting is for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from table_laws import context

from metarun.rule import Batch
from metarun.strategies.online.incremental_mf import IncrementalMF


def batch(user: list[int], item: list[int], y: list[float]) -> Batch:
    exists = torch.ones(len(y))
    x = {"user": torch.tensor(user), "item": torch.tensor(item)}
    return Batch(x, torch.tensor(y), exists, exists, torch.zeros((), dtype=torch.int64))


def test_biases_alone_by_hand() -> None:
    rule = IncrementalMF(dim=0, bias=1.0, noise=2.0, forgetting=0.0, item_forgetting=0.0)
    state = rule.init(context())
    out, state = rule.step(state, batch([0, 0], [0, 1], [5.0, 4.0]))
    # 3 is the middle of the scale; the first error 2 is shared out: 1 / (2 + 1 + 1) to the user, as much to the item.
    # Then the mean is (3 + 5) / 2, and only the user's bias of 2 / 4 is known.
    assert out[:, 0].tolist() == pytest.approx([3.0, 4.0 + 0.5])
    # The user's variance after one rating is 1 - 1 / 4, so the second error -.5 is weighed by .75 / (2 + .75 + 1).
    assert float(state["mean"][0, 0, 0]) == pytest.approx(0.5 - 0.5 * 0.75 / 3.75)
    assert float(state["variance"][0, 0, 0]) == pytest.approx(0.75 - 0.75**2 / 3.75)


def test_one_factor_by_hand() -> None:
    rule = IncrementalMF(dim=1, bias=1.0, taste=0.5, noise=2.0, forgetting=0.1, item_forgetting=0.0)
    state = rule.init(context())
    state["mean"][0, 0] = torch.tensor([0.2, 0.4])
    state["mean"][7 + 3, 0] = torch.tensor([-0.1, 0.5])
    state["variance"][0, 0] = torch.tensor([0.5, 0.25])
    out, state = rule.step(state, batch([0], [3], [4.0]))
    guess = 3 + 0.2 - 0.1 + 0.4 * 0.5
    user = [0.5 + 0.1 * (1 - 0.5), 0.25 + 0.1 * (0.5 - 0.25)]  # a tenth of the way back to the prior
    doubt = 2 + user[0] + user[1] * 0.5**2 + 1 + 0.5 * 0.4**2
    error = 4 - guess
    assert float(out) == pytest.approx(guess)
    assert state["mean"][0, 0].tolist() == pytest.approx(
        [0.2 + user[0] * error / doubt, 0.4 + user[1] * 0.5 * error / doubt]
    )
    assert state["variance"][10, 0].tolist() == pytest.approx([1 - 1 / doubt, 0.5 - (0.5 * 0.4) ** 2 / doubt])


def drifting(rows: int = 1500) -> Batch:
    """Users whose bias turns over halfway."""
    rng = np.random.default_rng(0)
    user, item = rng.integers(0, 7, rows), rng.integers(0, 9, rows)
    bias = np.where(user % 2 == 0, 1.0, -1.0) * np.where(np.arange(rows) < rows // 2, 1, -1)
    return batch(user.tolist(), item.tolist(), (3 + bias + 0.3 * rng.normal(size=rows)).tolist())


def test_forgetting_pays_where_users_change_and_costs_little_where_they_do_not() -> None:
    rule, rows = IncrementalMF(), drifting()
    out, _ = rule.step(rule.init(context([{"forgetting": 0.0}, {"forgetting": 0.1}])), rows)
    error = (out - rows.y[:, None]) ** 2
    still, moved = error[100:750].mean(0), error[750:].mean(0)
    assert moved[1] < 0.7 * moved[0]
    assert still[1] < 1.2 * still[0]


def test_factors_find_what_biases_cannot() -> None:
    rng = np.random.default_rng(1)
    user, item = rng.integers(0, 7, 3000), rng.integers(0, 9, 3000)
    y = 3 + np.where((user + item) % 2 == 0, 1.0, -1.0)
    rows = batch(user.tolist(), item.tolist(), y.tolist())
    errors = {}
    for dim in (0, 4):
        rule = IncrementalMF(dim=dim)
        out, _ = rule.step(rule.init(context()), rows)
        errors[dim] = float(((out[1500:, 0] - rows.y[1500:]) ** 2).mean())
    assert errors[4] < 0.1 * errors[0]
