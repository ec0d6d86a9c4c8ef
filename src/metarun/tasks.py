"""The tasks protocol: adapt on the support, score on the query, many tasks at once.

Shapes: T tasks; every leaf of a batched `Task` has the leading axis T.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.func import vmap
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from metarun.rule import Batch, Rule, Task, truncate


def over_tasks(function: Callable[..., Any], vmapped: bool = True) -> Callable[..., Any]:
    """Return the function of one task as a function of a batch of tasks; a plain loop if not vmapped."""
    if vmapped:
        return vmap(function)

    def loop(*arguments: Any) -> Any:
        leaves, tree = tree_flatten(arguments)
        results = [function(*tree_unflatten([leaf[i] for leaf in leaves], tree)) for i in range(len(leaves[0]))]
        parts = [tree_flatten(result) for result in results]
        return tree_unflatten([torch.stack(leaf) for leaf in zip(*(p[0] for p in parts), strict=True)], parts[0][1])

    return loop


def encode(rule: Rule, task: Task) -> Task:
    """Return the tasks as the rule wants to see them: features computed once, or table rows numbered per task."""
    if rule.sees == "features":
        if rule.model.pooled:
            return pooled(rule, task)

        def seen(batch: Batch) -> Batch:
            return batch._replace(x=flat(rule.model.features, batch.x))

        return task._replace(support=seen(task.support), query=seen(task.query))
    return gather(rule, task) if rule.moves != "head" and rule.model.backbone.tables else task


def pooled(rule: Rule, task: Task) -> Task:
    """Return the tasks with features whose statistics are those of each task: of its support, or of each batch."""
    s, q = task.support, task.query
    shots, backbone = s.y.shape[1], rule.model.backbone
    if backbone.norm == "query":
        support = flat(lambda x: backbone(x, s.known), s.x)
        query = flat(lambda x: backbone(x, q.mask), q.x)
    else:
        joint = tree_map(lambda a, b: torch.cat([a, b], 1), s.x, q.x)
        counted = torch.cat([s.known, torch.zeros_like(q.known)], 1)
        out = flat(lambda x: backbone(x, counted), joint)
        support, query = out[:, :shots], out[:, shots:]
    return task._replace(support=s._replace(x=support), query=q._replace(x=query))


def flat(function: Callable[[Any], Tensor], x: Any) -> Tensor:
    """Return function(x) for x with leading axes (T, B), computed as one batch of T * B rows."""
    lead = tree_flatten(x)[0][0].shape[:2]
    out = function(tree_map(lambda leaf: leaf.flatten(0, 1), x))
    return out.reshape(*lead, *out.shape[1:])


def gather(rule: Rule, task: Task) -> Task:
    """Return the tasks with ids renumbered from 0 and `context["rows"]` saying which table row each number is.

    A task then moves copies of the rows that it looks up, never a copy of the table.
    """
    support, query, rows = dict(task.support.x), dict(task.query.x), {}
    for column in rule.model.backbone.tables:
        rows[column] = torch.cat([support[column], query[column]], 1)
        place = torch.arange(rows[column].shape[1], device=rows[column].device).expand_as(rows[column])
        shots = support[column].shape[1]
        support[column], query[column] = place[:, :shots], place[:, shots:]
    context = {**task.context, "rows": rows}
    return Task(context, task.support._replace(x=support), task.query._replace(x=query))


def batched(rule: Rule, vmapped: bool) -> bool:
    """Return whether tasks run under vmap: not where a rule branches, or weights of each are faster one by one."""
    return vmapped and not rule.alone and (rule.sees == "features" or getattr(rule.model.backbone, "vmaps", True))


def answers(rule: Rule, task: Task, vmapped: bool) -> Tensor:
    """Return the query outputs (T, Q, C) of tasks that are encoded already."""
    out: Tensor = over_tasks(lambda t: rule.predict(rule.adapt(t), t.query.x), batched(rule, vmapped))(task)
    return out


def outer(rule: Rule, task: Task, vmapped: bool = True) -> Tensor:
    """Return the meta-loss (T,) of every task."""
    losses: Tensor = over_tasks(rule.outer, batched(rule, vmapped))(encode(rule, task))
    return losses


def cut(batch: Batch, rows: int) -> Batch:
    """Return the batches (T, B) with at most `rows` rows, at least one, which need not exist."""
    kept = slice(0, max(rows, 1))
    x = tree_map(lambda leaf: leaf[:, kept], batch.x)
    return Batch(x, batch.y[:, kept], batch.mask[:, kept], batch.known[:, kept], batch.event)


def in_chunks(tasks: Any, number: int, chunk: int) -> Iterator[Task]:
    """Yield the first `number` tasks, `chunk` at a time."""
    for first in range(0, number, chunk):
        yield tasks.batch(torch.arange(first, min(first + chunk, number)))


def judge(
    rule: Rule,
    tasks: Any,
    number: int,
    support: int,
    metrics: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]],
    *,
    chunk: int = 512,
    vmapped: bool = True,
) -> dict[str, Tensor]:
    """Return each metric (T,) of the first `number` tasks with supports of at most `support` rows.

    metrics: functions of (outputs (T, Q, C), labels (T, Q), mask (T, Q)) to (T,).
    """
    with torch.no_grad():
        return judge_encoded(rule, encoded(rule, tasks, number, chunk), support, metrics, vmapped)


def encoded(rule: Rule, tasks: Any, number: int, chunk: int) -> Iterator[Task]:
    """Yield the first `number` tasks as the rule wants to see them, `chunk` at a time."""
    for task in in_chunks(tasks, number, chunk):
        yield encode(rule, task)


def judge_encoded(
    rule: Rule,
    parts: Iterable[Task],
    support: int,
    metrics: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]],
    vmapped: bool,
    late: bool = False,
) -> dict[str, Tensor]:
    """Return what `judge` does from batches of encoded tasks, so that a grid of values pays for them only once.

    late: the tasks are encoded here, without the support rows that they do not have.
    """
    found: dict[str, list[Tensor]] = {name: [] for name in metrics}
    with torch.no_grad():
        for task in parts:
            shortened = task._replace(support=truncate(task.support, support))
            if late:
                shortened = encode(rule, shortened._replace(support=cut(shortened.support, support)))
            out = answers(rule, shortened, vmapped)
            for name, metric in metrics.items():
                found[name].append(metric(out, task.query.y, task.query.known))
    return {name: torch.cat(parts) for name, parts in found.items()}
