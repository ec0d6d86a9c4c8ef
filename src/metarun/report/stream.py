"""Prediction before update: errors over whole streams, beside no change, frozen and the best in hindsight."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group

from metarun.report import notation
from metarun.report.layout import framed
from metarun.report.table import grouped


def stream_table(summary: Mapping[str, Any], protocol: str, unicode: bool = True) -> Group:
    """Return one row per method and one column per error metric of one prequential protocol."""
    methods: Mapping[str, Any] = summary["stream"][protocol]
    metrics = list(dict.fromkeys(metric for entries in methods.values() for metric in entries))
    cells = {}
    for method in notation.ordered(methods):
        entries = methods[method]
        texts = []
        for metric in metrics:
            rivals = {name: found for name, found in methods.items() if notation.family(name) != "hindsight"}
            mark = ">" if method in notation.best(rivals, metric) else ""
            texts.append(mark + notation.number(entries.get(metric), compact=False))
        cells[method] = texts
    users = max((entry["n"] for entries in methods.values() for entry in entries.values()), default=0)
    caption = (
        f"{users:,} users, each a stream of its own, one pass; {protocol}; {notation.setting(summary)}\n"
        "± 95 % interval over users; > best; hindsight: the best fixed setting of the grid, known only afterwards"
    )
    rows = grouped(list(cells), cells, summary.get("winner"), unicode)
    title = f"{summary['dataset']}: each rating predicted before it is learned from"
    return framed(title, [notation.label(metric) for metric in metrics], rows, caption, unicode)
