"""Errors on the held-out labels of a task, and the order of its held-out items."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from metarun.metrics.ranking import judged, ndcg, precision_recall
from metarun.metrics.regression import mae, mse
from metarun.rule import Rule, Task
from metarun.tasks import encoded, in_chunks, judge_encoded

Metric = Callable[[Tensor, Tensor, Tensor], Tensor]


def of_one(error: Metric) -> Metric:
    """Return an error of numbers (T, Q) as one of outputs (T, Q, 1)."""
    return lambda out, y, mask: error(out[..., 0], y, mask)


def of_ratings(lowest: float, highest: float) -> dict[str, Metric]:
    """Return errors of predictions (T, Q, 1) clipped to the scale of ratings, and the order that they give."""

    def clipped(error: Metric) -> Metric:
        return of_one(lambda out, y, mask: error(out.clamp(lowest, highest), y, mask))

    return {"mse": clipped(mse), "mae": clipped(mae), "ndcg@10": of_one(ndcg)}


class Labels:
    """The protocol "tasks": predictions against the labels of the query, by the metrics that the data names."""

    name = "tasks"

    def __init__(self, metrics: dict[str, Metric], chunk: int, vmapped: bool) -> None:
        self.metrics, self.chunk, self.vmapped = metrics, chunk, vmapped

    def stored(self, metric: str) -> str:
        """Return the name under which one value per task is kept."""
        return "mse" if metric == "rmse" else metric

    def parts(self, rule: Rule, tasks: Any, number: int) -> Iterator[Task]:
        """Yield the first `number` tasks as the rule sees them; as they are where features depend on the support."""
        return in_chunks(tasks, number, self.chunk) if late(rule) else encoded(rule, tasks, number, self.chunk)

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
        return judge_encoded(rule, parts, support, wanted, self.vmapped, late(rule))


def late(rule: Rule) -> bool:
    """Return whether tasks are encoded when it is known how much support they have.

    Either features depend on the support, or there are none to be kept.
    """
    return rule.model is not None and (
        rule.model.pooled or (rule.sees != "features" and not rule.model.backbone.tables)
    )


def rows(_out: Tensor, _y: Tensor, mask: Tensor) -> Tensor:
    """Return how many rows each task has (T,)."""
    return mask.sum(-1)


def rated_only(thresholds: list[int], k: int) -> dict[str, Metric]:
    """Return P and R at k per threshold, nan for users that the protocol does not count."""
    metrics: dict[str, Metric] = {}
    for threshold in thresholds:
        for position, name in enumerate((f"precision@{k}", f"recall@{k}")):

            def metric(out: Tensor, y: Tensor, mask: Tensor, t: int = threshold, position: int = position) -> Tensor:
                found = precision_recall(out[..., 0], y >= t, mask, k)[position]
                return torch.where(judged(y >= t, mask), found, torch.nan)

            metrics[f"rated-only/threshold={threshold} {name}"] = metric
    return metrics
