"""One pass over a stream: errors of every method and the paired difference to the reference, by block."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group

from metarun.report import notation
from metarun.report.layout import framed
from metarun.report.table import grouped

Summary = Mapping[str, Any]
APART = {
    "hindsight": "the best fixed setting, known only afterwards",
    "uniform": "all policies trusted alike",
    "frozen": "not updated on what is scored",
}


def pass_table(summary: Summary, unicode: bool = True) -> Group:
    """Return one row per method: its errors, and the difference to the reference over the same blocks."""
    found = summary["pass"]
    methods: Mapping[str, Any] = summary["stream"][found["protocol"]]
    metrics = list(dict.fromkeys(metric for entries in methods.values() for metric in entries))
    rivals = {name: entries for name, entries in methods.items() if notation.family(name) != "hindsight"}
    cells = {}
    for method in notation.ordered(methods):
        texts = []
        for metric in metrics:
            mark = ">" if method in notation.best(rivals, metric) else ""
            texts.append(mark + notation.number(methods[method].get(metric), compact=False))
        pair = found["paired"].get(method)
        shown = {**pair, "value": pair["difference"]} if pair else None
        cells[method] = [*texts, notation.number(shown, compact=False) + notation.star(pair, summary["metric"])]
    heads = [notation.label(metric) for metric in metrics]
    heads.append(f"{notation.label(summary['metric'])} less {notation.last(summary['reference'])} ")
    rows = grouped(list(cells), cells, summary.get("winner"), unicode)
    where = "" if unit(summary) == "rows" else ", all users in one stream"
    title = f"{summary['dataset']}: each {unit(summary)[:-1]} predicted before it is learned from{where}"
    return framed(title, heads, rows, _caption(summary), unicode)


def unit(summary: Summary) -> str:
    """Return what a row of the stream is, "ratings" or "rows"."""
    return str(summary["pass"].get("unit", "ratings"))


def _caption(summary: Summary) -> str:
    """Return what the figures are: rows, protocol, blocks, what chose, and what the marks mean."""
    found = summary["pass"]
    scored = found["ratings"] - found["opening"]
    lines = [
        f"{scored:,} {unit(summary)} in time order, one pass; {found['protocol']}; {notation.setting(summary)}",
        f"± 95 % interval over {found['blocks']} equal blocks of rows; > best; * better, ° worse than "
        f"{summary['reference']}: the interval of the paired difference excludes 0",
    ]
    if found["opening"] and unit(summary) == "rows":
        lines.append(f"the first {found['opening']:,} rows are for pretraining and the meta stage, not scored")
    elif found["opening"]:
        most = max(summary.get("trials", {}).values(), default=1)
        lines.append(
            f"the first {found['opening']:,} ratings are learned from, not scored: there each method chose of at most "
            f"{most} settings"
        )
    shown = {notation.family(method) for method in found["by_block"]}
    lines.append("; ".join(f"{family}: {role}" for family, role in APART.items() if family in shown))
    return "\n".join(filter(None, lines))


def pass_verdict(summary: Summary) -> str:
    """Return by how much the strategy's error lies below the reference's, and whether that is significant."""
    winner, reference, found = summary["winner"], summary["reference"], summary["pass"]
    metric = summary["metric"]
    entry = summary["stream"][found["protocol"]][winner][metric]
    start = (
        f"{winner}: {notation.label(metric)} {notation.number(entry, compact=False)} over "
        f"{found['ratings'] - found['opening']:,} {unit(summary)} of {summary['dataset']}, each predicted before it "
        "was learned from"
    )
    pair = found["paired"].get(winner)
    if not pair or pair["difference"] is None:
        return f"{start}; without a paired comparison"
    sign = notation.better_or_worse(pair, metric)
    how = {1: "significantly below", -1: "significantly above", 0: "not significantly different from"}[sign]
    by = notation.short(abs(pair["difference"]))
    half = f" ±{notation.short(pair['ci95'])}" if pair["ci95"] is not None else ""
    return f"{start}; {how} {reference} ({by}{half}, paired over {pair['n']} blocks)"
