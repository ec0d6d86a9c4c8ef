"""What runs were tested in: views (a protocol and a cell), and in each the values of every method as replicates."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metarun.errors import MetarunError, did_you_mean
from metarun.metrics.interval import influences
from metarun.report import notation
from metarun.report.groups import tasks_of
from metarun.report.pooled import Replicate
from metarun.report.reading import Run, scores
from metarun.results import Score, reported


class View(NamedTuple):
    """A protocol and a cell."""

    protocol: str
    cell: str


Spot = tuple[View, str, int | None, str]
"""(view, method, support size or None, metric)."""


class Measured(NamedTuple):
    """A run with what it was tested on; `marks` tell whether two runs have the same values of a method."""

    run: Run
    found: Mapping[Spot, tuple[tuple[object, ...], Replicate]]
    marks: Mapping[str, str]


def measure(run: Run, seen: dict[tuple[str, bytes], tuple[Replicate, bytes]] | None = None) -> Measured:
    """Return every reported value of a run's test tasks; raises MetarunError where they are missing or broken.

    seen: what other runs had; the runs of a sweep share their baselines, which are then worked out and held once.
    """
    seen = {} if seen is None else seen
    try:
        kept = reported(score for score in scores(run) if score.split == "test")
    except ValueError as error:
        raise MetarunError(f"cannot read the task scores of {run.folder}: {error}") from error
    orders: dict[int, tuple[str, NDArray[np.int64] | None]] = {}
    digests: dict[str, Any] = {}
    found: dict[Spot, tuple[tuple[object, ...], Replicate]] = {}
    tasks = tasks_of(run)
    for score, metric, values in kept:
        name, order = _order(score, orders)
        ordered = np.ascontiguousarray(values if order is None else values[order])
        key = (metric, ordered.tobytes())
        if key not in seen:
            seen[key] = (Replicate(*influences(ordered, metric)), hashlib.blake2b(key[1], digest_size=8).digest())
        replicate, mark = seen[key]
        found[View(score.protocol, score.cell), score.method, score.support, metric] = ((tasks, name), replicate)
        digest = digests.setdefault(score.method, hashlib.blake2b(repr(tasks).encode(), digest_size=8))
        digest.update(f"{score.protocol} {score.cell} {score.support} {metric} {name} ".encode() + mark)
    return Measured(run, found, {method: digest.hexdigest() for method, digest in digests.items()})


def _order(score: Score, known: dict[int, tuple[str, NDArray[np.int64] | None]]) -> tuple[str, Any]:
    """Return a name for the tasks of a score, and the order that sorts them, None where they are sorted."""
    # Scores of the same tasks share one array.
    if id(score.ids) not in known:
        order = np.argsort(score.ids)
        ids = score.ids[order]
        sorted_already = bool(np.array_equal(ids, score.ids))
        known[id(score.ids)] = (hashlib.blake2b(ids.tobytes(), digest_size=8).hexdigest(),
                                None if sorted_already else order)  # fmt: skip
    return known[id(score.ids)]


def views(measured: Sequence[Measured]) -> dict[View, dict[str, list[int | None]]]:
    """Return {view: {metric: support sizes}}, the views that a run's verdict rests on first."""
    table: dict[View, dict[str, set[int | None]]] = {}
    for one in measured:
        for view, _, size, metric in one.found:
            table.setdefault(view, {}).setdefault(metric, set()).add(size)
    leading = [view for one in measured for view in main_views(one.run, table)]
    order = list(dict.fromkeys([*leading, *table]))
    return {
        view: {metric: sorted(sizes, key=lambda s: -1 if s is None else s) for metric, sizes in table[view].items()}
        for view in order
    }


def main_views(run: Run, known: Iterable[View]) -> list[View]:
    """Return the views that hold the run's unseen tasks; of a run without any, all of them."""
    protocol = str(run.summary.get("protocol", "tasks")).split("/")[0]
    cells = notation.cells(run.summary)
    here = list(known)
    unseen = [view for cell in cells for view in here if view.cell == cell and view.protocol.split("/")[0] == protocol]
    return unseen or here


def metric_of(metrics: Mapping[str, Any], runs: Sequence[Run]) -> str:
    """Return the metric that a view shows first: that of the runs, else F1 of rankings, else its first."""
    wanted = [run.summary["metric"] for run in runs]
    f1 = [metric for metric in metrics if metric.startswith("f1@")]
    return next((metric for metric in [*wanted, *f1] if metric in metrics), next(iter(metrics)))


def chosen_metrics(
    table: Mapping[View, Mapping[str, Any]], asked: Sequence[str], runs: Sequence[Run]
) -> list[tuple[View, str]]:
    """Return the (view, metric) that are printed: the runs' own metrics in their main views, or those asked for.

    Raises MetarunError for a metric that no view has.
    """
    known = list(dict.fromkeys(metric for metrics in table.values() for metric in metrics))
    for metric in asked:
        if metric not in known:
            raise MetarunError(
                f"--metric {metric}: the runs have {notation.spoken(known)}.{did_you_mean(metric, known)}"
            )
    shown = []
    for view, metrics in table.items():
        if asked:
            shown += [(view, metric) for metric in asked if metric in metrics]
            continue
        own = [run for run in runs if view in main_views(run, table)]
        names = dict.fromkeys(metric_of(metrics, [run]) for run in own)
        shown += [(view, metric) for metric in names]
    return shown
