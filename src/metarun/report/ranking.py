"""P, R and F1 at k under the rated-only protocol, between a random order and the oracle."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Group

from metarun.report import notation
from metarun.report.layout import framed
from metarun.report.table import grouped

# Printed wherever it may be meant, so that the figure is never read without the random row beside it.
CLAIM = "P .80 / R .90 / F1 .84"
COLUMNS = ("precision", "recall", "f1", "lift")


def ranking_table(summary: Mapping[str, Any], unicode: bool = True) -> Group:
    """Return one row per method, random first and oracle last, and four columns per threshold; fits 80 characters."""
    protocols: Mapping[str, Any] = dict(sorted(summary["ranking"].items()))
    names = [method for methods in protocols.values() for method in methods]
    cells = {}
    for method, shown in notation.framed_by(names):
        cells[shown] = [text for methods in protocols.values() for text in _cells(method, methods)]
    heads = [
        f"{_threshold(protocol)}\n{notation.label(metric)}"
        for protocol, methods in protocols.items()
        for metric in _metrics(methods)
    ]
    title = f"{summary['dataset']}: ranking of each user's own held-out ratings"
    rows = grouped(list(cells), cells, summary.get("winner"), unicode)
    return framed(title, heads, rows, _caption(summary), unicode)


def _cells(method: str, methods: Mapping[str, Any]) -> list[str]:
    """Return a method's cells of one protocol; the best F1 below the oracle is marked."""
    found = methods.get(method, {})
    models = {name: entries for name, entries in methods.items() if notation.last(name) != "oracle"}
    cells = []
    for metric in _metrics(methods):
        entry = found.get(metric)
        f1 = metric.startswith("f1@")
        if entry and metric == "lift" and entry["value"] is None:
            entry = None  # random and oracle agree: there is no way between them to measure
        first = ">" if f1 and method in notation.best(models, metric) else ""
        # One interval of three, to fit the width: those of P and R are in metrics.jsonl.
        cells.append(first + notation.number(entry if f1 or not entry else {**entry, "ci95": None}, compact=True))
    return cells


def _metrics(methods: Mapping[str, Any]) -> list[str]:
    """Return the columns of a protocol, P, R, F1 and lift, as far as they were measured."""
    known: Iterable[str] = dict.fromkeys(metric for entries in methods.values() for metric in entries)
    return sorted((m for m in known if m.split("@")[0] in COLUMNS), key=lambda m: COLUMNS.index(m.split("@")[0]))


def _threshold(protocol: str) -> str:
    """Return "≥ 4" of "rated-only/threshold=4", or the protocol as it is."""
    settings = dict(part.partition("=")[::2] for part in protocol.split("/")[1:])
    return f"≥ {settings['threshold']}" if "threshold" in settings else protocol


def _caption(summary: Mapping[str, Any]) -> str:
    """Return the protocol in words, with its users, and the claim that MovieLens is held against."""
    users = []
    for protocol, methods in sorted(summary["ranking"].items()):
        n = max((entry["n"] for entries in methods.values() for entry in entries.values()), default=0)
        users.append(f"{protocol}: {n:,} users")
    lines = [
        f"{', '.join(users)}; {notation.setting(summary)}".rstrip("; "),
        "candidates: only the items that the user rated and that were held out; relevant: rated at least as shown; "
        "users with at least 10 held out and one relevant",
        "F1 of the mean P and the mean R, ± 95 % interval over users in thousandths; > best below the oracle; "
        "lift of F1: 0 is a random order, 1 the oracle",
    ]
    if summary["dataset"].startswith("movielens"):
        lines.append(f"{CLAIM} at 20 is claimed elsewhere without a protocol: compare it with the random row")
    return "\n".join(lines)
