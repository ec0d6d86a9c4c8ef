"""The training curve of a stage: loss and rate at some of its steps, few enough to keep and the same after a resume."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from metarun.results import KEYS

ROOM = 500


class Point(NamedTuple):
    """One step of a curve; the rate is the optimiser's, as it stands after the step."""

    step: int
    loss: float
    rate: float


class Curve:
    """Loss and rate at every `stride`-th step; the stride doubles where more than `room` points would be kept.

    Which steps are kept is a pure function of the last one, so a stage that was killed and taken up has the same curve.
    Losses stay tensors on their device until `gather`, so that a step waits for nothing.

    >>> curve = Curve(room=2)
    >>> for step in range(1, 8):
    ...     if curve.due(step):
    ...         curve.add(step, torch.tensor(1.0 / step), 0.1)
    >>> [point.step for point in curve.gather()]
    [4]
    """

    def __init__(self, room: int = ROOM) -> None:
        self.room, self.stride = room, 1
        self.points: list[Point] = []
        self.pending: list[tuple[int, Tensor, float]] = []

    def due(self, step: int) -> bool:
        """Return whether a step, counted from 1, belongs to the curve."""
        return step % self.stride == 0

    def add(self, step: int, loss: Tensor, rate: float) -> None:
        """Keep a step that is due; loss: ()."""
        self.pending.append((step, loss.detach().clone(), rate))
        if len(self.points) + len(self.pending) > self.room:
            self.stride *= 2
            self.points = [point for point in self.points if self.due(point.step)]
            self.pending = [entry for entry in self.pending if self.due(entry[0])]

    def gather(self) -> list[Point]:
        """Return all points, those not yet read from the device included."""
        if self.pending:
            steps, losses, rates = zip(*self.pending, strict=True)
            self.points += map(Point, steps, torch.stack(losses).double().tolist(), rates)
            self.pending = []
        return self.points

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps, plain values only."""
        return {"stride": self.stride, "points": [tuple(point) for point in self.gather()]}

    def load(self, state: dict[str, Any]) -> None:
        """Take up what `state` returned."""
        self.stride, self.points, self.pending = state["stride"], [Point(*point) for point in state["points"]], []


def rows(points: list[Point], round: int, stage: str, method: str, seed: int) -> list[dict[str, Any]]:
    """Return the lines of metrics.jsonl of a curve."""
    return [
        dict(zip(KEYS, (
            round, stage, "train", "training", method, None, None,
            point.step, "loss", point.loss, None, None, seed, None,
        ), strict=True))
        for point in points
    ]  # fmt: skip
