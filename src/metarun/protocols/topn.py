"""Lists of the whole catalogue: every item that was not seen is a candidate, the held-out ones are relevant.

Shapes: T tasks, M items, S seen and Q held-out rows of a task, k the length of a list.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from metarun.hashing import combine
from metarun.metrics.topn import exposure, list_metrics, top
from metarun.rule import Rule, Task, truncate
from metarun.tasks import encode, over_tasks

LISTS = "lists"
"""Beside the metrics: the recommended items (T, k)."""

SCORES = 2**24
"""Numbers that the scores of one batch (T, M) may have: the larger the catalogue, the fewer tasks at a time."""


class Part(NamedTuple):
    """Tasks as the rule sees them, and which items are no candidates or relevant, whatever the rule sees."""

    task: Task
    seen: Tensor  # (pairs, 2) task, item
    wanted: Tensor  # (pairs, 2)


class TopN:
    """The protocol "full": the first k of all unseen items, or of `candidates` of them, which flatters everybody.

    Whatever else the user has chosen is no candidate, known to the rule or not: a list that names it would be right.
    So every support size has the same candidates.
    """

    def __init__(self, data: Any, k: int, candidates: int | None, chunk: int, vmapped: bool) -> None:
        self.k, self.candidates, self.chunk, self.vmapped = k, candidates, chunk, vmapped
        self.name = "full" if candidates is None else f"sampled/candidates={candidates} (biased)"
        self.known = data.popularity().float() / max(1, data.source_users())
        self.items = len(self.known)

    def stored(self, metric: str) -> str:
        """Return the name under which one value per task is kept."""
        return f"{metric}@{self.k}"

    def parts(self, rule: Rule | None, tasks: Any, number: int) -> Iterator[Part]:
        """Yield the first `number` tasks as the rule sees them, or as they are."""
        most = max(1, SCORES // self.items)
        for chunk in tasks.chunks() if hasattr(tasks, "chunks") else torch.split(torch.arange(number), self.chunk):
            for indices in torch.split(chunk, most):
                yield self.part(rule, tasks, indices)

    def part(self, rule: Rule | None, tasks: Any, indices: Tensor) -> Part:
        """Return tasks with what their lists are made of; a user has seen more than the support."""
        task = tasks.batch(indices)
        wanted = pairs(task.query.x["item"], task.query.mask)
        return Part(task if rule is None else encode(rule, task), tasks.seen(indices), wanted)

    def values(self, rule: Rule, parts: Iterable[Part], support: int, only: str | None = None) -> dict[str, Tensor]:
        """Return each metric (T,) of lists made with supports of at most `support` rows, and the lists (T, k)."""
        everything = rule.model.catalogue()
        found = []
        with torch.no_grad():
            seen = rule.model.features(everything) if rule.sees == "features" else everything
            score = over_tasks(lambda task: rule.predict(rule.adapt(task), seen)[..., 0], self.vmapped)
            for part in parts:
                task = part.task._replace(support=truncate(part.task.support, support))
                found.append(self.judged(score(task), part, only))
        return joined(found)

    def judged(self, scores: Tensor, part: Part, only: str | None = None) -> dict[str, Tensor]:
        """Return the metrics of scores (T, M), which are changed."""
        if self.candidates is not None:
            scores = torch.where(self.drawn(part, len(scores)), scores, -torch.inf)
        lists = top(scores, part.seen, self.k)
        relevant = torch.zeros(scores.shape, dtype=torch.bool)
        relevant[part.wanted[:, 0], part.wanted[:, 1]] = True
        found = list_metrics(relevant.gather(1, lists), relevant.sum(1), self.k)
        if only is not None:
            return {only: found[only]}
        return {**found, f"popularity@{self.k}": exposure(lists, self.known), LISTS: lists}

    def drawn(self, part: Part, tasks: int) -> Tensor:
        """Return which items are candidates (T, M): the relevant ones and `candidates` others, drawn for each task."""
        assert self.candidates is not None
        key = part.task.context["key"]
        chance = combine(8, key[:, None], torch.arange(self.items)).float()
        for taken in (part.seen, part.wanted):
            chance[taken[:, 0], taken[:, 1]] = torch.inf
        kept = torch.zeros(tasks, self.items, dtype=torch.bool)
        kept.scatter_(1, chance.topk(self.candidates, 1, largest=False).indices, True)
        kept[part.wanted[:, 0], part.wanted[:, 1]] = True
        return kept

    def references(self, tasks: Any, number: int) -> dict[str, dict[str, Tensor]]:
        """Return what lists by chance, by popularity and by the held-out items reach on the first `number` tasks."""
        found: dict[str, list[dict[str, Tensor]]] = {"random": [], "popularity": [], "oracle": []}
        for part in self.parts(None, tasks, number):
            key, lists = part.task.context["key"], len(part.task.query.y)
            ideal = torch.zeros(lists, self.items)
            ideal[part.wanted[:, 0], part.wanted[:, 1]] = 1
            orders = {
                "random": combine(9, key[:, None], torch.arange(self.items)).float(),
                "popularity": self.known.expand(lists, -1).clone(),
                "oracle": ideal,
            }
            for name, order in orders.items():
                found[name].append(self.judged(order, part))
        return {name: joined(parts) for name, parts in found.items()}


def pairs(item: Tensor, mask: Tensor) -> Tensor:
    """Return (pairs, 2) task and item of the rows (T, B) that exist."""
    where = mask.nonzero()
    return torch.stack([where[:, 0], item[where[:, 0], where[:, 1]]], 1)


def joined(parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return the values of all batches, by name."""
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
