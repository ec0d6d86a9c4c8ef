"""Where a run's numbers go beside its own folder: TensorBoard, Weights & Biases, or a class of the user's.

The folder is the run; a tracker is a copy for looking at. So none can fail a run: whatever one raises becomes one line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from metarun import build
from metarun.stages.curve import Point
from metarun.trackers.base import Results, Tracker

__all__ = ["Results", "Tracker", "Trackers", "chosen"]


def chosen(cfg: DictConfig, folder: Path) -> dict[str, Tracker]:
    """Return the trackers of a run by the names of their options, none of them opened yet.

    Raises MetarunError where one needs a package that is not installed, or a login.
    """
    nodes = cfg.get("logger") or {}
    return {
        name: build.make(nodes[name], f"logger.{name}", folder=folder, run=f"{cfg.name} {folder.name}")
        for name in nodes
    }


class Trackers:
    """The trackers of a run. One that raises is named in a line, closed to further news, and the run goes on."""

    def __init__(self, members: dict[str, Tracker], warn: Callable[[str], None]) -> None:
        self.members, self.warn = dict(members), warn

    def begin(self, config: dict[str, Any]) -> None:
        """Open them with the resolved config."""
        self._each(lambda tracker: tracker.begin(config))

    def curve(self, stage: str, points: Sequence[Point], sent: dict[str, int]) -> dict[str, int]:
        """Send the points of a stage that lie behind what was `sent` to each tracker; return the last steps sent."""
        for name in list(self.members):
            new = [point for point in points if point.step > sent.get(name, 0)]
            self._do(name, partial(_send, stage, new))
        return {**sent, **dict.fromkeys(self.members, points[-1].step)} if points else sent

    def value(self, stage: str, step: int, name: str, value: float) -> None:
        """Send one number of a stage."""
        self._each(lambda tracker: tracker.log(stage, step, {name: value}))

    def results(self, results: Results) -> None:
        """Send what a finished run leaves."""
        self._each(lambda tracker: tracker.results(results))

    def close(self, hurry: bool = False) -> None:
        """Let them write what they still hold; hurry: the run was asked to leave."""
        for tracker in self.members.values():
            tracker.hurry = hurry
        self._each(lambda tracker: tracker.close())
        self.members = {}

    def _each(self, act: Callable[[Tracker], None]) -> None:
        for name in list(self.members):
            self._do(name, act)

    def _do(self, name: str, act: Callable[[Tracker], None]) -> None:
        """Let one tracker act, and part with it where it cannot."""
        if name not in self.members:
            return
        try:
            act(self.members[name])
        except Exception as error:
            del self.members[name]
            why = (str(error).splitlines() or [""])[0] or type(error).__name__
            self.warn(f"warning: logger={name} failed ({why}); the run goes on without it, its folder has everything")


def _send(stage: str, points: Sequence[Point], tracker: Tracker) -> None:
    for point in points:
        tracker.log(stage, point.step, {"loss": point.loss, "rate": point.rate})
