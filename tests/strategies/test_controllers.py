"""Rules that are told of drift: nothing without an alarm, and behind one what is said of them, by a plain loop."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from metarun.backbones.plain import Plain
from metarun.events import DRIFT, WARNING
from metarun.heads.linear import Linear
from metarun.model import Model, Spec
from metarun.objectives.cross_entropy import CrossEntropy
from metarun.rule import Batch, Rule
from metarun.strategies.adaptive.recall import Recall
from metarun.strategies.adaptive.warn_swap import WarnSwap, won
from metarun.strategies.gradient import Gradient
from metarun.strategies.rates import HEAD

FEATURES, RATE = 3, 0.3
base = functools.partial(Gradient, inner_lr=RATE)


def model() -> Model:
    spec = Spec(shape=(FEATURES,), outputs=2, classes=2)
    backbone = Plain(spec=spec)
    return Model(backbone, Linear(backbone=backbone, spec=spec), CrossEntropy(), spec)


def stream(turns: list[int], rows: int = 400, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return features with a constant, and labels whose rule turns round at some rows."""
    draws = torch.Generator().manual_seed(seed)
    x = torch.cat([torch.randn(rows, FEATURES, generator=draws), torch.ones(rows, 1)], 1)
    sign = torch.tensor([(-1.0) ** sum(row >= turn for turn in turns) for row in range(rows)])
    return x, (x[:, 0] * sign > 0).long()


def follow(rule: Rule, x: Tensor, y: Tensor, alarms: list[int], kind: int = DRIFT) -> tuple[list[Tensor], list[Any]]:
    outs, states, one = [], [rule.init({})], torch.ones(1)
    with torch.no_grad():
        for row in range(len(y)):
            part, event = slice(row, row + 1), torch.tensor(kind if row in alarms else 0)
            outs.append(rule.predict(states[-1], x[part]))
            states.append(rule.update(states[-1], Batch(x[part], y[part], one, one, event)))
    return outs, states


def swap(**changes: Any) -> WarnSwap:
    return WarnSwap(model=model(), rule=base, **({"trial": 20, "patience": 100, "z": 2.0} | changes))


def recall(**changes: Any) -> Recall:
    fields = {"size": 3, "every": 20, "probe": 15, "margin": 0.01} | changes
    return Recall(model=model(), rule=base, **fields)


def head(state: Any) -> Tensor:
    weight: Tensor = state["theta"][HEAD]
    return weight


@pytest.mark.parametrize("made", [swap, recall])
def test_without_an_alarm_it_is_the_rule_itself(made: Any) -> None:
    x, y = stream([200])
    found, _ = follow(made(), x, y, [])
    expected, _ = follow(base(model=model()), x, y, [])
    torch.testing.assert_close(torch.cat(found), torch.cat(expected))


def test_a_challenger_that_wins_is_the_rule_from_the_start_on_the_rows_since_the_alarm() -> None:
    x, y = stream([200])
    _, states = follow(swap(), x, y, [205])
    swapped = next(row for row, state in enumerate(states) if int(state["swapped"]))
    assert 225 <= swapped < 305
    _, alone = follow(base(model=model()), x[205:], y[205:], [])
    torch.testing.assert_close(head(states[swapped]["champion"]), head(alone[swapped - 205]))
    assert not states[swapped]["active"]


def test_a_trial_is_the_paired_test_of_its_losses() -> None:
    x, y = stream([200])
    _, states = follow(swap(z=1e9, patience=60), x, y, [205])
    champion, challenger = (follow(base(model=model()), *rows, [])[0] for rows in ((x, y), (x[205:], y[205:])))
    cost = torch.nn.functional.cross_entropy
    gap = [float(cost(champion[205 + i], y[205 + i : 206 + i]) - cost(challenger[i], y[205 + i : 206 + i]))
           for i in range(40)]  # fmt: skip
    expected = [40, np.sum(gap), np.sum(np.square(gap))]
    np.testing.assert_allclose(states[245]["sums"].numpy(), expected, rtol=1e-4)
    statistic = np.mean(gap) / (np.std(gap, ddof=1) / np.sqrt(40))
    assert won(states[245]["sums"], 20, statistic - 1e-3)
    assert not won(states[245]["sums"], 20, statistic + 1e-3)
    assert not won(states[245]["sums"], 41, 0.0), "too early"
    assert not states[265]["active"], "given up after `patience` rows"
    assert int(states[-1]["swapped"]) == 0


def test_a_false_alarm_changes_nothing_that_predicts() -> None:
    x, y = stream([])
    found, states = follow(swap(), x, y, [150, 170, 300])
    expected, _ = follow(base(model=model()), x, y, [])
    assert (int(states[-1]["started"]), int(states[-1]["swapped"])) == (2, 0), "an alarm in a trial is not heard"
    torch.testing.assert_close(torch.cat(found), torch.cat(expected))


@pytest.mark.parametrize(("trigger", "started"), [("alarm", 0), ("warning", 1)])
def test_a_warning_starts_a_challenger_where_it_may(trigger: str, started: int) -> None:
    x, y = stream([200])
    _, warned = follow(swap(trigger=trigger), x, y, [205], WARNING)
    assert int(warned[-1]["started"]) == started
    _, alarmed = follow(swap(trigger=trigger), x, y, [205])
    assert int(alarmed[-1]["swapped"]) == 1


@torch.no_grad()
def test_a_champion_that_diverged_has_lost_and_a_challenger_that_did_has_not_won() -> None:
    x, y = stream([])
    rule = swap(z=1e9)
    broken = {"theta": {HEAD: torch.full((FEATURES + 1, 2), torch.nan)}}
    for name, swapped in (("champion", 1), ("challenger", 0)):
        state = rule.init({})
        state = {**state, name: {**state[name], **broken}, "active": torch.tensor(True)}
        for row in range(25):
            part = slice(row, row + 1)
            state = rule.update(state, Batch(x[part], y[part], torch.ones(1), torch.ones(1), torch.tensor(0)))
        assert int(state["swapped"]) == swapped


def test_a_concept_that_comes_back_is_taken_up_where_it_was_left() -> None:
    x, y = stream([150, 300])
    _, states = follow(recall(), x, y, [155, 305])
    # Set aside every 20 rows: at 155 the last but one is that of row 120, which knows the first concept alone.
    torch.testing.assert_close(head(states[156]["library"])[1], head(states[120]["own"]))
    taken = 305 + 15
    assert int(states[taken]["recalled"]) == int(states[taken - 1]["recalled"]) + 1
    torch.testing.assert_close(head(states[taken]["own"]), head(states[120]["own"]))


def test_the_start_is_always_there_to_go_back_to() -> None:
    x, y = stream([150])
    _, states = follow(recall(), x, y, [152])
    assert int(states[-1]["recalled"]) == 1
    torch.testing.assert_close(head(states[152 + 15]["own"]), head(states[0]["own"]))


def test_places_of_the_library_that_are_empty_are_never_taken() -> None:
    rule = recall(size=3)
    state = rule.init({})
    state = {**state, "stored": torch.tensor(1), "loss": torch.tensor([5.0, 4.0, 0.0, 0.0, 9.0]).double()}
    state = {**state, "rows": torch.tensor(10), "library": {**state["library"]}}
    marked = torch.arange(4.0).reshape(4, 1, 1) * torch.ones(4, FEATURES + 1, 2)
    state["library"] = {**state["library"], "theta": {HEAD: marked}}
    assert float(head(rule.chosen(state)["own"])[0, 0]) == 1.0
