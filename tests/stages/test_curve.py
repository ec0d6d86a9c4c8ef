"""A curve is short, the same however often it was interrupted, and holds what was seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from test_loop import Line, numbered

from metarun.results import KEYS
from metarun.stages.curve import Curve, rows
from metarun.stages.loop import fit


def drawn(steps: int, room: int, stops: set[int] = frozenset()) -> Curve:  # type: ignore[assignment]
    """Return the curve of so many steps; at each stop it goes through a checkpoint, and two steps are taken again."""
    curve, step = Curve(room), 0
    stops = set(stops)
    kept, at = curve.state(), 0
    while step < steps:
        step += 1
        if curve.due(step):
            curve.add(step, torch.tensor(1 / step), 0.1 / step)
        if step % 3 == 0:
            kept, at = curve.state(), step
        if step in stops:
            stops.remove(step)
            curve, step = Curve(room), at
            curve.load(kept)
    curve.gather()
    return curve


@given(st.integers(0, 200), st.integers(1, 9), st.sets(st.integers(1, 200), max_size=5))
def test_which_steps_are_kept_depends_on_the_last_one_alone(steps: int, room: int, stops: set[int]) -> None:
    whole, parts = drawn(steps, room), drawn(steps, room, stops)
    assert whole.points == parts.points
    assert whole.stride == parts.stride
    assert [p.step for p in whole.points] == list(range(whole.stride, steps + 1, whole.stride))
    assert len(whole.points) <= room
    assert len(whole.points) > (room - 1) // 2 or steps <= room
    assert all(p.loss == float(torch.tensor(1 / p.step)) for p in whole.points)


def test_the_loss_is_kept_as_it_was_at_its_step() -> None:
    loss, curve = torch.tensor(3.0), Curve()
    curve.add(1, loss, 0.1)
    loss += 1  # the next step writes in the same place
    assert curve.gather()[0].loss == 3.0


def test_rows_have_the_keys_of_the_others() -> None:
    curve = Curve()
    curve.add(7, torch.tensor(0.5), 0.1)
    (row,) = rows(curve.gather(), 2, "2-meta", "meta/maml", 3)
    assert tuple(row) == KEYS
    assert (row["split"], row["protocol"], row["metric"]) == ("train", "training", "loss")
    assert (row["round"], row["stage"], row["method"], row["step"], row["value"]) == (2, "2-meta", "meta/maml", 7, 0.5)


class Remembers(Line):
    """Keeps every loss that it returns."""

    def __init__(self, steps: int) -> None:
        super().__init__(steps)
        self.losses: list[float] = []

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        """Return the loss of the line."""
        loss = super().training_step(batch, index)
        self.losses.append(float(loss.detach()))
        return loss


def test_a_stage_leaves_the_losses_of_its_steps_and_the_rate_after_each(tmp_path: Path) -> None:
    stage = Remembers(4)
    fit(stage, numbered, 4, tmp_path, "line", trainer=OmegaConf.create({"accelerator": "cpu"}), save_every=3)
    assert [p.loss for p in stage.curve.gather()] == stage.losses
    assert [p.rate for p in stage.curve.points] == pytest.approx([0.075, 0.05, 0.025, 0.0])
