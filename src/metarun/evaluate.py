"""Judging methods on the same tasks: validation tasks choose values and the winner, test tasks are read once.

Every method that has something to choose gets the same number of trials per support size.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from metarun.metrics.topn import coverage
from metarun.protocols.labels import Labels, Metric, late, rated_only, rows
from metarun.protocols.topn import LISTS, TopN
from metarun.report.notation import higher_is_better
from metarun.results import Score
from metarun.rule import Rule
from metarun.streams import Stream, beginning, prequential
from metarun.tasks import in_chunks

STREAM = "prequential/chunk=1/delay=0"
Point = dict[str, float]


class Choice(NamedTuple):
    """What validation chose for one method at one support size (None: on streams)."""

    point: Point
    value: float  # the less the better: the run's metric, negated where more is better
    edges: list[str]  # fields whose choice lies on the edge of the grid
    trials: int


class Again:
    """Something that can be gone through again: kept from the first time, or made anew each time where it is large."""

    def __init__(self, make: Callable[[], Iterator[Any]], kept: bool) -> None:
        self.make = make
        self.kept: list[Any] | None = list(make()) if kept else None

    def __iter__(self) -> Iterator[Any]:
        return iter(self.kept) if self.kept is not None else self.make()


class Judge:
    """The tasks, streams and metrics that all methods of a run share."""

    def __init__(
        self,
        data: Any,
        *,
        metric: str,
        validation_tasks: int,
        stream_rows: int,
        chunk: int,
        vmapped: bool,
        rank_at: int = 20,
        candidates: int | None = None,
        most: int | None = None,
    ) -> None:
        """most: unseen tasks to judge on, None for all; fewer are for a check that it runs."""
        self.most = most
        validation_tasks = min(validation_tasks, most or validation_tasks)
        self.data, self.chunk, self.vmapped = data, chunk, vmapped
        self.supports: list[int] = data.supports
        self.cells: list[str] = data.cells
        self.validation_tasks, self.stream_rows = validation_tasks, stream_rows
        self.lists = TopN(data, rank_at, candidates, chunk, vmapped) if data.negatives else None
        self.protocol: Any = self.lists or Labels(data.metrics, chunk, vmapped)
        self.stored = self.protocol.stored(metric)
        self.metric = self.stored if self.lists else metric
        self.sign = -1.0 if higher_is_better(self.metric) else 1.0

    def reported(self, values: Tensor) -> float:
        """Return the run's metric from one value per task, negated where more is better; inf if a method diverged."""
        mean = self.sign * float(values.double().mean())
        return float("inf") if not np.isfinite(mean) else mean**0.5 if self.metric == "rmse" else mean

    def validating(self, rule: Rule, cell: str | None = None) -> Again:
        """Return a cell's validation tasks as the rule sees them, once for all its grid and all support sizes."""
        tasks = self.data.tasks("validation", cell or self.cells[0])
        number = min(self.validation_tasks, len(tasks))
        with torch.no_grad():
            return Again(
                lambda: self.protocol.parts(rule, tasks, number), kept=self.lists is not None or not late(rule)
            )

    def validation(self, rule: Rule, support: int, tasks: Iterable[Any], cell: str | None = None) -> float:
        """Return the run's metric on encoded validation tasks, the less the better."""
        rows = self.data.rows(support, cell)
        return self.reported(self.protocol.values(rule, tasks, rows, self.stored)[self.stored])

    def told(self, value: float | None, before: str = "") -> str:
        """Return a validation value in words, in the run's metric; nothing where there is none."""
        return "" if value is None or value == float("inf") else f"{before}{self.metric} {self.sign * value:.4f}"

    def validation_users(self, cell: str | None = None) -> int:
        """Return how many validation tasks choose."""
        return min(self.validation_tasks, len(self.data.tasks("validation", cell or self.cells[0])))

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

    def tune(self, rule: Rule, cell: str | None = None) -> dict[int, Choice]:
        """Return what validation chooses for a cell at every support size."""
        tasks, found = self.validating(rule, cell), {}
        for support in self.supports:
            found[support] = self.choose(rule, lambda support=support: self.validation(rule, support, tasks, cell))  # type: ignore[misc]
        return found

    def test(self, rule: Rule, method: str, choices: dict[int, Choice], cell: str | None = None) -> list[Score]:
        """Return the scores of one method on a cell's test tasks, at every support size under its chosen values."""
        cell = cell or self.cells[0]
        tasks = self.data.tasks("test", cell)
        scores = []
        for support, choice in choices.items():
            with rule.set(choice.point), torch.no_grad():
                number = self.number(tasks)
                rows = self.data.rows(support, cell)
                found = self.protocol.values(rule, self.protocol.parts(rule, tasks, number), rows)
            scores += self.scores(method, cell, support, found, tasks.user[:number])
        return scores

    def number(self, tasks: Any) -> int:
        """Return how many of a cell's test tasks are judged."""
        return min(len(tasks), self.most or len(tasks))

    def scores(self, method: str, cell: str, support: int | None, found: dict[str, Tensor], ids: Tensor) -> list[Score]:
        """Return scores from values per task, less the tasks for which a list has no meaning."""
        lists, scores = found.pop(LISTS, None), []
        for metric, values in found.items():
            kept = torch.ones_like(values, dtype=torch.bool) if lists is None else ~values.isnan()
            scores.append(self.score(self.protocol.name, method, cell, support, metric, ids[kept], values[kept]))
        if lists is not None and self.lists:
            share = coverage(lists, self.lists.items)[None]
            name = f"coverage@{self.lists.k}"
            scores.append(self.score(self.protocol.name, method, cell, support, name, torch.zeros(1).long(), share))
        return scores

    def score(
        self, protocol: str, method: str, cell: str, support: int | None, metric: str, ids: Tensor, values: Tensor
    ) -> Score:
        """Return one score of the test split."""
        return Score("test", protocol, method, cell, support, metric, ids.numpy(), values.double().numpy())

    def warm(self, rule: Rule, method: str, point: Point, thresholds: list[int], k: int) -> list[Score]:
        """Return the scores on withheld ratings of known users: errors and rankings of them, or lists."""
        tasks = self.data.warm_tasks()
        if tasks is None:
            return []
        support = self.supports[-1] if self.data.rated else tasks.support
        with rule.set(point), torch.no_grad():
            if self.lists:
                found = self.lists.values(rule, self.lists.parts(rule, tasks, len(tasks)), tasks.support)
                return self.scores(method, "warm", None, found, tasks.user)
            more = {"rows": rows, **rated_only(thresholds, k)} if self.data.rated else {}
            found = self.protocol.values(rule, self.protocol.parts(rule, tasks, len(tasks)), support, more=more)
        return self.warm_scores(method, found, tasks.user, support)

    def tune_known(self, rule: Rule) -> Choice | None:
        """Return what the rows of known users that were withheld for it choose; None where there are none. For lists.

        The split warm_80_20 withholds none, recbole none of users with fewer than ten rows.
        """
        assert self.lists is not None
        tasks, lists = self.data.warm_tasks(choose=True), self.lists
        if tasks is None:
            return None
        with torch.no_grad():
            parts = list(lists.parts(rule, tasks, len(tasks)))
        return self.choose(rule, lambda: self.validation(rule, tasks.support, parts))

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
        """Return rankings by chance, by popularity, and by the labels themselves."""
        scores = self.list_references() if self.lists else []
        tasks = self.data.warm_tasks() if self.data.rated and not self.lists else None
        if tasks is None:
            return scores
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
                    found.setdefault((method, name), []).append(metric(out[..., None], task.query.y, task.query.known))
        for (method, name), parts in found.items():
            scores += self.warm_scores(f"baseline/{method}", {name: torch.cat(parts)}, tasks.user, None)
        return scores

    def list_references(self) -> list[Score]:
        """Return lists by chance, by popularity and by the held-out items, the same at every support size."""
        assert self.lists is not None
        scores = []
        views: list[Any] = [(cell, self.data.tasks("test", cell), self.supports) for cell in self.cells]
        warm = self.data.warm_tasks()
        for cell, tasks, supports in [*views, *([("warm", warm, [None])] if warm is not None else [])]:
            number = len(tasks) if cell == "warm" else self.number(tasks)
            for name, found in self.lists.references(tasks, number).items():
                for support in supports:
                    scores += self.scores(f"baseline/{name}", cell, support, dict(found), tasks.user[:number])
        return scores

    def stream_losses(self, rule: Rule, streams: list[Stream]) -> dict[str, Tensor]:
        """Return each error metric (users,) of predicting every rating before it is learned from."""
        errors = self.protocol.metrics
        metrics: dict[str, Metric] = {"mse": errors["mse"], "mae": errors["mae"], "rows": rows}
        found: dict[str, list[Tensor]] = {name: [] for name in metrics}
        for stream in streams:
            out, _ = prequential(rule, stream, 1, self.vmapped)
            for name, parts in found.items():
                parts.append(metrics[name](out, stream.batch.y, stream.batch.known))
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
        return [self.score(STREAM, method, self.cells[0], None, name, ids, values) for name, values in found.items()]

    def hindsight(self, rule: Rule, method: str) -> list[Score]:
        """Return the scores of the grid point that turns out best on the test streams: a bound, not a method."""
        every = [self.test_stream(rule, f"hindsight/{method}", point) for point in grid(rule)]
        values = []
        for scores in every:
            found = {score.metric: torch.from_numpy(score.values) for score in scores}
            values.append(self.over_rows(found))
        return every[int(np.argmin(values))]


def grid(rule: Rule) -> list[Point]:
    """Return the points of a rule's `tune` grid; the one empty point where nothing is to choose."""
    options = rule.tune or {}
    return [dict(zip(options, values, strict=True)) for values in itertools.product(*options.values())]
