"""Prediction before update: errors over whole streams, beside no change, frozen and the best in hindsight."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group

from metarun.report import notation
from metarun.report.layout import framed
from metarun.report.table import grouped

# What the rows of a loop over time do about what changes; a strategy stands for its family.
ROLES = {
    "baseline/frozen": "the start from before the first round, never updated",
    "baseline/ridge": "that start, each user folded in",
    "baseline/retrained": "pretrained again from scratch after each round, each user folded in",
    "transfer": "the start fine-tuned on the users of all rounds",
    "online": "one rule through the streams of all rounds",
    "meta": "start and rule meta-updated in each round",
}


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
    caption = "\n".join([caption, *roles(methods, summary)])
    rows = grouped(list(cells), cells, summary.get("winner"), unicode)
    title = f"{summary['dataset']}: each rating predicted before it is learned from"
    return framed(title, [notation.label(metric) for metric in metrics], rows, caption, unicode)


def roles(methods: Mapping[str, Any], summary: Mapping[str, Any]) -> list[str]:
    """Return lines that say what the rows do about time, where some row was pretrained again; else nothing."""
    if "baseline/retrained" not in methods:
        return []
    lines = []
    for key, role in ROLES.items():
        named = [notation.last(m) for m in notation.ordered(methods) if key in (m, notation.family(m))]
        if named:
            lines.append(f"{notation.spoken(named)}: {role}")
    *before, final = summary.get("chain", [""])
    if before:
        earlier = notation.spoken(map(notation.last, before))
        lines.append(f"{notation.last(final)} begins each round where {earlier} have ended")
    return lines
