"""The gradient rule by hand: one step, the scale of few rows, the anchor, learned rates, what a state stands for."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from toys import learned, rule, tasks

from metarun.rule import Batch
from metarun.strategies.gradient import HEAD, Gradient
from metarun.tasks import encode, over_tasks

PLAIN = {"steps": 1, "inner_lr": 0.25, "tune": None}


def made(method: str = "transfer/finetune", *overrides: str, **changes: Any) -> Gradient:
    found = rule(method, {**PLAIN, **changes}, *overrides)
    assert isinstance(found, Gradient)
    return found


def rows(design: list[list[float]], y: list[float], known: list[float] | None = None) -> Batch:
    """Return features [design, 1, offset 0] of a model with a vector of 4."""
    x = torch.tensor([[*d, *[0.0] * (4 - len(d)), 1.0, 0.0] for d in design], dtype=torch.float64)
    one = torch.ones(len(y), dtype=torch.float64)
    shown = one if known is None else torch.tensor(known, dtype=torch.float64)
    return Batch(x, torch.tensor(y, dtype=torch.float64), one, shown, torch.tensor(0))


def begun(rule: Gradient, weight: list[float]) -> dict[str, Any]:
    with torch.no_grad():
        rule.model.head.weight.copy_(torch.tensor(weight, dtype=torch.float64)[:, None])
    return rule.init({})


def head(state: dict[str, Any]) -> list[float]:
    weight: Tensor = state["theta"][HEAD].detach()
    return weight[:, 0].tolist()


def test_one_step_by_hand() -> None:
    found = made()
    state = found.update(begun(found, [1, 0, 0, 0, 0]), rows([[1, 0], [0, 1]], [3, 1]))
    # errors 1 - 3 = -2 and 0 - 1 = -1; mean gradient of the squares = [-2, -1, 0, 0, -3]; rate .25
    assert head(state) == [1.5, 0.25, 0, 0, 0.75]
    assert found.predict(state, rows([[2, 0]], [0]).x).tolist() == [[3.75]]


def test_shrink_scales_the_step_by_the_rows() -> None:
    found = made("online/sgd", shrink=3.0)
    start = begun(found, [0, 0, 0, 0, 0])
    # a single row of label 2: gradient -4 on the bias, rate .25, scaled by 1 / (1 + 3)
    assert head(found.update(start, rows([[0]], [2])))[-1] == 0.25
    # the same mean gradient from three known rows, scaled by 3 / (3 + 3)
    batch = rows([[0]] * 4, [2, 2, 2, 50], known=[1, 1, 1, 0])
    assert head(found.update(start, batch))[-1] == 0.5


def test_anchor_pulls_to_the_start_and_not_without_a_label() -> None:
    found = made(anchor=0.5, steps=2)
    start = begun(found, [0, 0, 0, 0, 0])
    batch = rows([[0]], [2])
    # bias: 0 -> 1 (gradient -4, rate .25); then gradient -2, pull 2 * .5 * 1 = 1: 1 + .25
    assert head(found.update(start, batch))[-1] == 1.25
    moved = found.update(start, batch)
    assert head(found.update(moved, batch._replace(known=torch.zeros(1, dtype=torch.float64)))) == head(moved)


def test_path_has_every_inner_step() -> None:
    found = made(steps=4)
    batch, start = rows([[1]], [2]), begun(found, [0, 0, 0, 0, 0])
    states = list(found.path(start, batch))
    assert len(states) == 4
    assert head(states[-1]) == head(found.update(start, batch))
    errors = [(found.predict(s, batch.x)[0, 0] - 2).abs().item() for s in states]
    assert errors == sorted(errors, reverse=True)


def test_rate_of_the_context_comes_first() -> None:
    found = made()
    start = begun(found, [0, 0, 0, 0, 0])
    told = found.init({"rate": torch.tensor(0.5, dtype=torch.float64)})
    assert head(found.update(told, rows([[0]], [1]))) == [2 * v for v in head(found.update(start, rows([[0]], [1])))]


@pytest.mark.parametrize(
    ("learn_rate", "moves", "count"), [("none", "head", 0), ("scalar", "head", 1), ("parameter", "head", 5)]
)
def test_learned_rates(learn_rate: str, moves: str, count: int) -> None:
    found = made("meta/maml", learn_rate=learn_rate, moves=moves, shrink=0.0)
    rates = [value for name, value in learned(found).items() if name.startswith("log_scale")]
    assert sum(rate.numel() for rate in rates) == count
    if learn_rate == "parameter":
        with torch.no_grad():
            found.log_scale[HEAD][:, 0] = torch.tensor([0, 1, 0, 0, -1], dtype=torch.float64)
        batch = rows([[1, 1]], [1])
        scaled, plain = (head(f.update(begun(f, [0.0] * 5), batch)) for f in (found, made()))
        e = torch.tensor(1.0, dtype=torch.float64).exp().item()
        assert scaled == pytest.approx([plain[0], e * plain[1], 0, 0, plain[4] / e])


def test_moving_all_learns_a_rate_per_tensor() -> None:
    found = made("meta/maml", "backbone=mf_features", learn_rate="scalar", moves="all")
    assert {n for n in learned(found) if n.startswith("log_scale")} == {
        f"log_scale.{n}" for n in ("head", "vectors_weight", "item_bias", "to_vector", "to_bias")
    }


@pytest.mark.parametrize("learns", ["head", "all"])
def test_learns_says_what_the_outer_loss_trains(learns: str) -> None:
    found = learned(made("meta/maml", learns=learns))
    assert ("model.backbone.vectors.weight" in found) == (learns == "all")
    assert "model.head.weight" in found


def test_commit_names_the_model_s_own_parameters() -> None:
    for moves in ("head", "all"):
        found = made(moves=moves)
        names = dict(found.model.named_parameters())
        committed = found.commit(found.init({}))
        assert set(committed) == ({"head.weight"} if moves == "head" else set(names))
        assert all(value.shape == names[name].shape for name, value in committed.items())


def test_moving_all_equals_moving_the_whole_table() -> None:
    """Gathered rows are a way to compute, not another method."""
    found, task = made(moves="all", inner_lr=0.05, steps=3), tasks(3)
    with torch.no_grad():
        gathered = over_tasks(lambda t: found.predict(found.adapt(t), t.query.x))(encode(found, task))
        whole = over_tasks(lambda t: found.predict(found.adapt(t), t.query.x), False)(task)
    kept = task.query.mask > 0
    torch.testing.assert_close(gathered[kept], whole[kept], rtol=1e-12, atol=1e-12)


def test_gathered_state_has_the_size_of_the_task() -> None:
    found, task = made(moves="all"), tasks(2)
    state = over_tasks(found.init)(encode(found, task).context)
    assert state["theta"]["vectors.weight"].shape == (2, 7 + 4, 4)
