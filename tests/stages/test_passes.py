"""A pass against a plain loop: what chooses, what is scored, what goes on."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from toys import ratings

from metarun.data import whole
from metarun.data.whole import WholeStream
from metarun.stages.passes import Pass
from metarun.strategies.baseline.running import RunningBias
from metarun.tables import TableRule

POINTS = [{"item_damping": 0.0}, {"item_damping": 2.0}, {"item_damping": 50.0}]


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> WholeStream:
    monkeypatch.setattr(whole, "ROWS", 64)
    return WholeStream(ratings(items=20, most=20), 0.25, 4)


def context(points: list[dict[str, float]]) -> dict[str, Any]:
    return {"users": 60, "items": 20, "scale": (1.0, 5.0, 1.0), "seed": 0, "points": points}


def passed(stream: WholeStream, every: bool, rule: TableRule | None = None) -> Pass:
    made = Pass(rule or RunningBias(users=False), stream, context(POINTS), "rmse", every)
    for step in range(len(stream)):
        made.training_step(stream.batch(step), step)
    return made


def by_hand(stream: WholeStream, damping: float) -> list[float]:
    """Return the squared errors of damped item means, from plain Python over the rows."""
    ratings_of: dict[int, list[float]] = {}
    total, errors = [3.0], []
    for item, y in zip(stream.item.tolist(), stream.value.tolist(), strict=True):
        mean, own = sum(total) / len(total), ratings_of.setdefault(item, [])
        out = mean if not own else (sum(own) + damping * mean) / (len(own) + damping)
        errors.append((out - y) ** 2)
        own.append(y)
        total.append(y)
    return errors


def test_errors_by_block_are_those_of_a_plain_loop(stream: WholeStream) -> None:
    found = passed(stream, every=True)
    edges = [0, *stream.edges.tolist()]
    for number, point in enumerate(POINTS):
        errors = by_hand(stream, point["item_damping"])
        expected = [sum(errors[a:b]) for a, b in pairwise(edges)]
        assert found.sums[0, :, number].tolist() == pytest.approx(expected, rel=1e-5)
    opening = [sum(by_hand(stream, point["item_damping"])[: stream.opening]) for point in POINTS]
    assert found.choice == int(np.argmin(opening))


def test_labels_of_scored_rows_choose_nothing(stream: WholeStream) -> None:
    before = passed(stream, every=False).choice
    stream.value[stream.opening :] = 6 - stream.value[stream.opening :]
    assert passed(stream, every=False).choice == before


def test_only_what_was_chosen_goes_on_unless_hindsight_is_asked_for(stream: WholeStream) -> None:
    one, every = passed(stream, every=False), passed(stream, every=True)
    assert torch.allclose(one.sums[:, :, one.choice], every.sums[:, :, one.choice])
    others = [n for n in range(len(POINTS)) if n != one.choice]
    assert not one.sums[:, 1:, others].any()
    assert every.sums[:, 1:, others].all()


def test_what_stands_still_learns_nothing_from_what_is_scored(stream: WholeStream) -> None:
    found = passed(stream, every=True)
    rule, state = RunningBias(users=False), RunningBias(users=False).init(context([POINTS[found.choice]]))
    opening = [step for step in range(len(stream)) if stream.batch(step)[0] < stream.opening]
    for step in opening:
        rule.update(state, stream.batch(step)[1])
    x = {"user": stream.user.long(), "item": stream.item.long()}
    error = (rule.predict(state, x)[:, 0].double() - stream.value) ** 2
    assert float(found.still_sums[0].sum()) == pytest.approx(float(error[stream.opening :].sum()))


def test_a_setting_that_diverged_is_not_chosen(stream: WholeStream) -> None:
    class Diverges(RunningBias):
        def learn(self, state: Any, batch: Any) -> torch.Tensor:
            out = super().learn(state, batch)
            if out.shape[1] > 1:
                out[:, 1] = torch.nan
            return out

    assert passed(stream, False, Diverges(users=False)).choice == 2


@pytest.mark.parametrize("at", [3, 9])
def test_a_checkpoint_takes_it_up_exactly(stream: WholeStream, at: int) -> None:
    class Replays(RunningBias):
        replays = True

    for every in (False, True):
        for rule in (RunningBias(users=True), Replays(users=True)):
            whole = passed(stream, every, rule)
            first = Pass(rule, stream, context(POINTS), "rmse", every)
            for step in range(at):
                first.training_step(stream.batch(step), step)
                first.position += 1
            saved: dict[str, Any] = {}
            first.on_save_checkpoint(saved)
            second = Pass(rule, stream, context(POINTS), "rmse", every)
            second.on_load_checkpoint(saved)
            for step in range(second.position, len(stream)):
                second.training_step(stream.batch(step), step)
            assert torch.equal(second.sums, whole.sums)
            assert torch.equal(second.still_sums, whole.still_sums)
