"""Errors on the held-out labels of a task, and the order of its held-out items."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from metarun.metrics.ranking import judged, ndcg, precision_recall
from metarun.metrics.regression import mae, mse
from metarun.rule import Rule, Task
from metarun.tasks import encoded, judge_encoded

Metric = Callable[[Tensor, Tensor, Tensor], Tensor]


class Labels:
    """The protocol "tasks": predictions, clipped to the scale of the labels, against the labels of the query."""

    name = "tasks"

    def __init__(self, data: Any, chunk: int, vmapped: bool) -> None:
        self.chunk, self.vmapped = chunk, vmapped
        lowest, highest, _ = data.ratings.scale

        def clipped(error: Metric) -> Metric:
            return lambda out, y, mask: error(out.clamp(lowest, highest), y, mask)

        self.metrics: dict[str, Metric] = {"mse": clipped(mse), "mae": clipped(mae), "ndcg@10": ndcg}

    def stored(self, metric: str) -> str:
        """Return the name under which one value per task is kept."""
        return "mse" if metric == "rmse" else metric

    def parts(self, rule: Rule, tasks: Any, number: int) -> Iterator[Task]:
        """Yield the first `number` tasks as the rule sees them."""
        return encoded(rule, tasks, number, self.chunk)

    def values(
        self,
        rule: Rule,
        parts: Iterable[Task],
        support: int,
        only: str | None = None,
        more: dict[str, Metric] | None = None,
    ) -> dict[str, Tensor]:
        """Return metrics (T,) with supports of at most `support` rows: `only` one of them, or `more` beside them."""
        wanted = self.metrics | (more or {}) if only is None else {only: self.metrics[only]}
        return judge_encoded(rule, parts, support, wanted, self.vmapped)


def rows(_out: Tensor, _y: Tensor, mask: Tensor) -> Tensor:
    """Return how many rows each task has (T,)."""
    return mask.sum(-1)


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
