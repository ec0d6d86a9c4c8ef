"""Lists of the whole catalogue: every metric beside a random list, the popular items, and the best list there is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group

from metarun.metrics.lift import lift
from metarun.report import notation
from metarun.report.layout import framed
from metarun.report.table import grouped

COLUMNS = ("precision", "recall", "f1", "ndcg", "map", "mrr", "hit", "coverage", "popularity")


def lists_table(
    summary: Mapping[str, Any], methods: Mapping[str, Any], protocol: str, whom: str, unicode: bool = True
) -> Group:
    """Return one row per method, random and popular items first and the oracle last, and a column per metric.

    methods: {method: {metric: entry}}; whom: the users and what is known of them, in words.
    """
    known = dict.fromkeys(metric for entries in methods.values() for metric in entries)
    metrics = sorted(
        (m for m in known if m.split("@")[0] in COLUMNS), key=lambda metric: COLUMNS.index(metric.split("@")[0])
    )
    main = summary["metric"]
    ends = {notation.last(method): entries[main]["value"] for method, entries in methods.items() if main in entries}
    cells = {}
    for method, shown in notation.framed_by(methods):
        texts = []
        for metric in metrics:
            entry = methods[method].get(metric)
            mark = ">" if metric == main and method in notation.best(methods, metric) else ""
            texts.append(
                mark + notation.number(entry if metric == main or not entry else {**entry, "ci95": None}, True)
            )
        value = methods[method].get(main, {}).get("value")
        if None in (value, ends.get("random"), ends.get("oracle")):
            texts.append("")
        else:
            texts.append(notation.short(lift(float(value), ends["random"], ends["oracle"])))
        cells[shown] = texts
    k = main.partition("@")[2]
    heads = [f"{notation.label(metric.split('@')[0])}" for metric in metrics] + ["lift"]
    title = f"{summary['dataset']}: lists of {k} items"
    lines = [
        f"{whom}, protocol {protocol}; {notation.setting(summary)}".rstrip("; "),
        f"candidates: {_candidates(protocol)}; relevant: what was held out; F1 of the mean P and the mean R",
        f"± 95 % interval over users in thousandths, > best below the oracle; lift of {notation.label(main)}: 0 is a "
        "random list, 1 the oracle",
        "cover: share of the catalogue that is recommended to anybody; pop: mean share of training users who know a "
        "recommended item (the more, the more popular)",
    ]
    return framed(title, heads, grouped(list(cells), cells, summary.get("winner"), unicode), "\n".join(lines), unicode)


def _candidates(protocol: str) -> str:
    if protocol.startswith("sampled"):
        return "a few random items beside the held-out ones, which flatters every method: no figure for publication"
    return "every item of the catalogue that the user has not seen"
