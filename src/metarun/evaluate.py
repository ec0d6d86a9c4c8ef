"""Judging methods on the same tasks: validation tasks choose values and the winner, test tasks are read once.

Every method that has something to choose gets the same number of trials per support size.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from metarun.metrics.ranking import judged, ndcg, precision_recall
from metarun.metrics.regression import mae, mse
from metarun.results import Score
from metarun.rule import Rule, Task
from metarun.streams import Stream, beginning, prequential
from metarun.tasks import encoded, in_chunks, judge, judge_encoded

STREAM = "prequential/chunk=1/delay=0"
Point = dict[str, float]
Metric = Callable[[Tensor, Tensor, Tensor], Tensor]


class Choice(NamedTuple):
    """What validation chose for one method at one support size (None: on streams)."""

    point: Point
    value: float
    edges: list[str]  # fields whose choice lies on the edge of the grid
    trials: int


class Judge:
    """The tasks, streams and metrics that all methods of a run share."""

    def __init__(
        self, data: Any, *, metric: str, validation_tasks: int, stream_rows: int, chunk: int, vmapped: bool
    ) -> None:
        self.data, self.metric, self.chunk, self.vmapped = data, metric, chunk, vmapped
        self.supports: list[int] = data.supports
        self.validation_tasks, self.stream_rows = validation_tasks, stream_rows
        lowest, highest, _ = data.ratings.scale

        def clipped(error: Metric) -> Metric:
            return lambda out, y, mask: error(out.clamp(lowest, highest), y, mask)

        self.metrics: dict[str, Metric] = {"mse": clipped(mse), "mae": clipped(mae), "ndcg@10": ndcg}
        self.stored = "mse" if metric == "rmse" else metric

    def reported(self, values: Tensor) -> float:
        """Return the run's metric from one value per task; infinite where a method diverged."""
        mean = float(values.double().mean())
        return float("inf") if not np.isfinite(mean) else mean**0.5 if self.metric == "rmse" else mean

    def validating(self, rule: Rule) -> list[Task]:
        """Return the validation tasks as the rule sees them, once for all its grid and all support sizes."""
        tasks = self.data.tasks("validation")
        with torch.no_grad():
            return list(encoded(rule, tasks, min(self.validation_tasks, len(tasks)), self.chunk))

    def validation(self, rule: Rule, support: int, tasks: list[Task]) -> float:
        """Return the run's metric on encoded validation tasks."""
        found = judge_encoded(rule, tasks, support, {self.stored: self.metrics[self.stored]}, self.vmapped)
        return self.reported(found[self.stored])

    def validation_users(self) -> int:
        """Return how many validation tasks choose."""
        return min(self.validation_tasks, len(self.data.tasks("validation")))

    def choose(self, rule: Rule, score: Callable[[], float]) -> Choice:
        """Return the best point of a rule's grid by the score, the lower the better."""
        points = grid(rule)
        values = []
        for point in points:
            with rule.set(point):
                values.append(score())
        best = int(np.argmin(values))
        edges = [
            name
            for name, options in (rule.tune or {}).items()
            if len(options) > 1 and points[best][name] in (min(options), max(options))
        ]
        return Choice(points[best], values[best], edges, len(points))

    def tune(self, rule: Rule) -> dict[int, Choice]:
        """Return what validation chooses at every support size."""
        tasks, found = self.validating(rule), {}
        for support in self.supports:
            found[support] = self.choose(rule, lambda support=support: self.validation(rule, support, tasks))  # type: ignore[misc]
        return found

    def test(self, rule: Rule, method: str, choices: dict[int, Choice]) -> list[Score]:
        """Return the scores of one method on the test tasks, at every support size under its chosen values."""
        tasks = self.data.tasks("test")
        scores = []
        for support, choice in choices.items():
            with rule.set(choice.point):
                found = judge(rule, tasks, len(tasks), support, self.metrics, chunk=self.chunk, vmapped=self.vmapped)
            for metric, values in found.items():
                scores.append(self.score("tasks", method, "user-cold", support, metric, tasks.user, values))
        return scores

    def score(
        self, protocol: str, method: str, cell: str, support: int | None, metric: str, ids: Tensor, values: Tensor
    ) -> Score:
        """Return one score of the test split."""
        return Score("test", protocol, method, cell, support, metric, ids.numpy(), values.double().numpy())

    def warm(self, rule: Rule, method: str, point: Point, thresholds: list[int], k: int) -> list[Score]:
        """Return the scores on withheld ratings of known users: errors, and rankings of the withheld items."""
        tasks, support = self.data.warm_tasks(), self.supports[-1]
        if tasks is None:
            return []
        metrics = {**self.metrics, "rows": rows, **rated_only(thresholds, k)}
        with rule.set(point):
            found = judge(rule, tasks, len(tasks), support, metrics, chunk=self.chunk, vmapped=self.vmapped)
        return self.warm_scores(method, found, tasks.user, support)

    def warm_scores(self, method: str, found: dict[str, Tensor], ids: Tensor, support: int | None) -> list[Score]:
        """Return scores from values per user; the rated-only protocol keeps the users that it counts."""
        scores = []
        for name, values in found.items():
            protocol, _, metric = name.rpartition(" ")
            kept = ~values.isnan() if protocol else torch.ones_like(values, dtype=torch.bool)
            size = None if protocol else support
            scores.append(self.score(protocol or "tasks", method, "warm", size, metric, ids[kept], values[kept]))
        return scores

    def references(self, thresholds: list[int], k: int) -> list[Score]:
        """Return the rated-only rankings by chance, by popularity, and by the labels themselves."""
        tasks = self.data.warm_tasks()
        if tasks is None:
            return []
        popularity = self.data.popularity().float()
        metrics = rated_only(thresholds, k)
        found: dict[tuple[str, str], list[Tensor]] = {}
        for task in in_chunks(tasks, len(tasks), self.chunk):
            orders = {
                "random": torch.zeros_like(task.query.y),
                "popularity": popularity[task.query.x["item"]],
                "oracle": task.query.y,
            }
            for method, out in orders.items():
                for name, metric in metrics.items():
                    found.setdefault((method, name), []).append(metric(out, task.query.y, task.query.known))
        scores = []
        for (method, name), parts in found.items():
            scores += self.warm_scores(f"baseline/{method}", {name: torch.cat(parts)}, tasks.user, None)
        return scores

    def stream_losses(self, rule: Rule, streams: list[Stream]) -> dict[str, Tensor]:
        """Return each error metric (users,) of predicting every rating before it is learned from."""
        metrics: dict[str, Metric] = {"mse": self.metrics["mse"], "mae": self.metrics["mae"], "rows": rows}
        found: dict[str, list[Tensor]] = {name: [] for name in metrics}
        for stream in streams:
            out, _ = prequential(rule, stream, 1, self.vmapped)
            for name, parts in found.items():
                parts.append(metrics[name](out[..., 0], stream.batch.y, stream.batch.known))
        return {name: torch.cat(parts) for name, parts in found.items()}

    def tune_stream(self, rule: Rule) -> Choice:
        """Return what the first `stream_rows` ratings of the validation streams choose."""
        streams = [beginning(stream, self.stream_rows) for stream in self.data.streams("validation")]

        return self.choose(rule, lambda: self.over_rows(self.stream_losses(rule, streams)))

    def over_rows(self, found: dict[str, Tensor]) -> float:
        """Return the run's metric where every rating counts alike, whoever gave it."""
        return self.reported(found[self.stored] * found["rows"] / found["rows"].mean())

    def test_stream(self, rule: Rule, method: str, point: Point) -> list[Score]:
        """Return the prequential scores of one method on the test streams."""
        streams = self.data.streams("test")
        ids = torch.cat([stream.context["key"] for stream in streams])
        with rule.set(point):
            found = self.stream_losses(rule, streams)
        return [self.score(STREAM, method, "user-cold", None, name, ids, values) for name, values in found.items()]

    def hindsight(self, rule: Rule, method: str) -> list[Score]:
        """Return the scores of the grid point that turns out best on the test streams: a bound, not a method."""
        every = [self.test_stream(rule, f"hindsight/{method}", point) for point in grid(rule)]
        values = []
        for scores in every:
            found = {score.metric: torch.from_numpy(score.values) for score in scores}
            values.append(self.over_rows(found))
        return every[int(np.argmin(values))]


def rows(_out: Tensor, _y: Tensor, mask: Tensor) -> Tensor:
    """Return how many rows each task has (T,)."""
    return mask.sum(-1)


def grid(rule: Rule) -> list[Point]:
    """Return the points of a rule's `tune` grid; the one empty point where nothing is to choose."""
    options = rule.tune or {}
    return [dict(zip(options, values, strict=True)) for values in itertools.product(*options.values())]


def rated_only(thresholds: list[int], k: int) -> dict[str, Metric]:
    """Return P and R at k per threshold, nan for users that the protocol does not count."""
    metrics: dict[str, Metric] = {}
    for threshold in thresholds:
        for position, name in enumerate((f"precision@{k}", f"recall@{k}")):

            def metric(out: Tensor, y: Tensor, mask: Tensor, t: int = threshold, position: int = position) -> Tensor:
                found = precision_recall(out, y >= t, mask, k)[position]
                return torch.where(judged(y >= t, mask), found, torch.nan)

            metrics[f"rated-only/threshold={threshold} {name}"] = metric
    return metrics
