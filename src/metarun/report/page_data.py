"""What the page shows, as JSON: entries with their look, values with marks, cost, curves, settings, provenance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from metarun.report import cost, notation, palette
from metarun.report.comparison import caption_lines, setting, tested, units
from metarun.report.contrast import Cell, Comparison, Table
from metarun.report.curves import curves
from metarun.report.groups import tasks_of
from metarun.report.headline import headline
from metarun.report.provenance import commands, differences, environments, runs_table
from metarun.results import finite

FEW, BEST = 14, 10
"""Entries up to which all are shown at first; of more, how many of the best on validation."""


def page_data(comparison: Comparison, left_out: Sequence[str]) -> dict[str, Any]:
    """Return everything on the page."""
    runs = [run for group in comparison.groups for run in group.runs]
    names = notation.spoken(dict.fromkeys(str(run.summary["name"]) for run in runs))
    data = notation.spoken(dict.fromkeys(str(run.summary["dataset"]) for run in runs))
    view, metric = comparison.shown[0]
    return {
        "title": f"{names} on {data}",
        "headline": headline(comparison),
        "synthetic": any(run.summary["synthetic"] for run in runs),
        "left_out": list(left_out),
        "warnings": list(dict.fromkeys(line for run in runs for line in run.summary.get("warnings", [])))[:40],
        "facts": f"{len(runs)} run{'s' if len(runs) > 1 else ''}, {setting(runs)}",
        "main": {"view": list(comparison.views).index(view), "metric": metric},
        "views": [_view(comparison, number) for number in range(len(comparison.views))],
        "entries": _entries(comparison),
        "groups": [{"label": group.label or "all runs", "runs": len(group.runs)} for group in comparison.groups],
        "costs": {**cost.FIELDS, "method_seconds": "method s", "method_steps": "method steps"},
        "curves": curves(comparison),
        "settings": differences(comparison),
        "runs": runs_table(comparison),
        "commands": commands(comparison),
        "environments": environments(comparison),
    }


def _view(comparison: Comparison, number: int) -> dict[str, Any]:
    """Return a view with its tables; first its metrics that are printed, then the others."""
    view = list(comparison.views)[number]
    printed = [metric for shown, metric in comparison.shown if shown == view]
    metrics = list(dict.fromkeys([*printed, *comparison.views[view]]))
    runs = tested(comparison, [comparison.tables[view, metric] for metric in metrics])
    name = f"{view.cell} {units(runs)}" + ("" if view.protocol == "tasks" else f", {view.protocol}")
    return {"name": name, "metrics": [_table(comparison, comparison.tables[view, metric]) for metric in metrics]}


def _table(comparison: Comparison, table: Table) -> dict[str, Any]:
    """Return a table: {"values": {entry: [cell or null per size]}}."""
    columns = [(table, size) for size in table.sizes]
    numbers = dict.fromkeys(n for n, _ in table.cells)
    return {
        "name": table.metric,
        "label": notation.label(table.metric),
        "higher": notation.higher_is_better(table.metric),
        "sizes": table.sizes,
        "caption": caption_lines(comparison, table.view, columns),
        "values": {
            n: [_cell(table, table.cells[n, size]) if (n, size) in table.cells else None for size in table.sizes]
            for n in numbers
        },
    }


def _cell(table: Table, cell: Cell) -> list[Any]:
    """Return [value, ci95, n, mark, sign, reference pair, leader pair]; a pair is [entry, difference, ci95, p] or 0."""
    pairs = [
        [pair.to, rounded(pair.found.value), rounded(pair.found.ci95), rounded(pair.corrected, 3)] if pair else 0
        for pair in (cell.reference, cell.leader)
    ]
    mark = ">" if cell.best else "≈" if cell.near else ""
    found = [rounded(cell.found.value), rounded(cell.found.ci95), cell.found.tasks]
    return [*found, mark, cell.against(table.metric), *pairs]


def rounded(value: float, digits: int = 5) -> float | None:
    """Return a value with so many digits, None where it is not finite."""
    known = finite(value)
    return None if known is None else float(f"{known:.{digits}g}")


def _entries(comparison: Comparison) -> list[dict[str, Any]]:
    """Return the entries: name, look, cost, and whether they are shown at first."""
    counts: dict[str, int] = {}
    found = []
    for n, entry in enumerate(comparison.entries):
        runs = comparison.groups[entry.groups[0]].runs
        reference = runs[0].summary.get("reference", "baseline/ridge") == entry.method
        family = notation.family(entry.method)
        number = counts[family] = counts.get(family, -1) + 1
        # The cost of a run is that of its group; what several groups share has none of its own.
        spent = cost.cost(runs) if len(entry.groups) == 1 else {}
        alone = {f"method_{key}": amount for key, amount in cost.method_cost(runs, entry.method).items()}
        found.append({
            "method": entry.method, "family": family, "where": entry.where, "groups": list(entry.groups),
            "reference": reference, "chosen": n in comparison.chosen, "runs": len(runs),
            "end": notation.last(entry.method) if notation.last(entry.method) in notation.ENDS else "",
            "validation": rounded(comparison.validation[n]) if n in comparison.validation else None,
            "cost": {key: [rounded(amount.value), amount.least] for key, amount in {**spent, **alone}.items()},
            **palette.style(entry.method, number, reference),
        })  # fmt: skip
    for n in _at_first(comparison):
        found[n]["shown"] = True
    return found


def _at_first(comparison: Comparison) -> list[int]:
    """Return the entries that are shown at first: all of few; of many the best on validation, and what frames them."""
    view, metric = comparison.shown[0]
    known = {n for n, _ in comparison.tables[view, metric].cells}
    everything = [n for n, _ in enumerate(comparison.entries)]
    if len(known) <= FEW:
        return everything
    sign = -1 if notation.higher_is_better(metric) else 1
    ranked: dict[object, list[int]] = {}
    for n in sorted(comparison.validation, key=lambda n: sign * comparison.validation[n]):
        entry = comparison.entries[n]
        if notation.family(entry.method) != "baseline":
            # Values on other validation tasks are no measure of each other.
            ranked.setdefault(tasks_of(comparison.groups[entry.groups[0]].runs[0]), []).append(n)
    best = [n for each in ranked.values() for n in each[: max(1, BEST // len(ranked))]]
    table = comparison.tables[view, metric]
    references = {c.reference.to for (n, _), c in table.cells.items() if n in best and c.reference}
    framing = [
        n
        for n in everything
        if notation.family(comparison.entries[n].method) == "baseline" and not comparison.entries[n].where
    ]
    return sorted({*best, *references, *framing[: FEW - BEST], *comparison.chosen})
