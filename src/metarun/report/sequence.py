"""A sequence of tasks: what was learned of each, what was kept and forgotten, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group

from metarun.report import notation
from metarun.report.layout import framed
from metarun.report.table import grouped

Summary = Mapping[str, Any]
HEADS = {
    "final": "final ",
    "learned": "when\nlearned ",
    "forgetting": "for-\ngetting ",
    "backward": "backward ",
    "forward": "forward ",
    "seconds": "seconds ",
}
CAPTION = (
    "mean accuracy over tasks, each alike: final, after the last one; when learned, just after each; forgetting, the "
    "best that there was less the final one; backward, the final one less that when learned; forward, just before a "
    "task less before all"
)


def sequence_facts(summary: Summary, unicode: bool = True) -> Group:
    """Return one row per method with its figures over the accuracy matrix."""
    found: Mapping[str, Any] = summary["sequence"]
    cells = {}
    for method in notation.ordered(found):
        values = {**found[method], "seconds": None}
        texts = [notation.short(value) + " " if value is not None else "" for value in values.values()]
        cells[method] = [*texts[:-1], f"{summary['cost'][method]['seconds']:.0f} "]
    rows = grouped(list(cells), cells, None, unicode)
    title = f"{summary['dataset']}: one task after another, {summary['protocol']}"
    return framed(title, list(HEADS.values()), rows, CAPTION, unicode)


def sequence_verdict(summary: Summary) -> str:
    """Return what the run's own strategy knows of all tasks at the end, beside the reference."""
    sizes: Mapping[str, Any] = next(iter(summary["test"].values()))
    last = list(sizes)[-1]
    method = [*summary["chain"], *sizes[last]][0]
    entry = notation.number(sizes[last][method]["accuracy"], compact=False)
    start = f"{method}: accuracy {entry} on held-out rows of all {last} tasks of {summary['dataset']} at the end"
    pair = notation.pairs(summary, "accuracy", next(iter(summary["test"]))).get(last, {}).get(method)
    if not pair or pair["difference"] is None:
        return f"{start}; without a paired comparison"
    sign = notation.better_or_worse(pair, "accuracy")
    how = {1: "significantly above", -1: "significantly below", 0: "not significantly different from"}[sign]
    by = f"{notation.short(abs(pair['difference']))} ±{notation.short(pair['ci95'])}"
    return f"{start}; {how} {summary['reference']} (by {by}, paired over {pair['n']:,} rows)"
