"""The comparison in one sentence of plain words: what validation chose, and what test says of it."""

from __future__ import annotations

from metarun.report import notation
from metarun.report.comparison import units
from metarun.report.contrast import Comparison, Table
from metarun.report.views import View


def headline(comparison: Comparison) -> str:
    """Return who was chosen on validation, by how much it differs from its reference on test, and if significantly."""
    runs = [run for group in comparison.groups for run in group.runs]
    data = notation.spoken(dict.fromkeys(str(run.summary["dataset"]) for run in runs))
    if any(run.summary["synthetic"] for run in runs):
        return f"A plumbing check, not evidence: {data} is not real data, so no method has won."
    if not comparison.chosen:
        return f"No strategy was chosen on validation tasks ({data}), so none is named."
    view, metric = comparison.shown[0]
    table = comparison.tables[view, metric]
    if len(comparison.chosen) > 1:
        return _several(comparison, data)
    (n,) = comparison.chosen
    entry = comparison.entries[n]
    who = f"{entry.method}{f' ({entry.where})' if entry.where else ''}"
    among = sum(notation.family(other.method) != "baseline" and k in comparison.validation
                for k, other in enumerate(comparison.entries))  # fmt: skip
    start = f"{who} was chosen on validation among {among} candidates" if among > 1 else f"{who} was the one candidate"
    return f"{start} ({data}); on test {_against(comparison, table, view, n)}."


def _several(comparison: Comparison, data: str) -> str:
    """Return what was chosen on each set of tasks."""
    counts: dict[str, int] = {}
    for n in sorted(comparison.chosen):
        method = comparison.entries[n].method
        counts[method] = counts.get(method, 0) + 1
    total = len(comparison.chosen)
    named = notation.spoken(f"{method} {count} times" if count > 1 else f"{method} once" for method, count in
                            sorted(counts.items(), key=lambda item: -item[1]))  # fmt: skip
    return f"On {total} sets of tasks ({data}) validation chose {named}; differences between sets are not paired."


def _against(comparison: Comparison, table: Table, view: View, n: int) -> str:
    """Return where the entry is significantly better or worse than its reference, and by how much."""
    up = notation.higher_is_better(table.metric)
    found = {size: table.cells[n, size] for size in table.sizes if (n, size) in table.cells}
    pairs = {size: cell for size, cell in found.items() if cell.reference is not None}
    label = notation.label(table.metric)
    if not pairs:
        return f"it was not compared with its reference on the same {view.cell} tasks"
    first = next(iter(pairs.values())).reference
    assert first is not None
    reference = comparison.entries[first.to].method
    clauses = []
    for sign, direction in ((1, "above" if up else "below"), (-1, "below" if up else "above")):
        sizes = [size for size, cell in pairs.items() if cell.against(table.metric) == sign]
        if sizes:
            gaps = sorted(abs(c.reference.found.value) for s, c in pairs.items() if s in sizes and c.reference)
            span = dict.fromkeys([notation.short(gaps[0]), notation.short(gaps[-1])])
            clauses.append(f"significantly {direction} {reference} by {' to '.join(span)}{_at(sizes)}")
    rest = [size for size, cell in pairs.items() if cell.against(table.metric) == 0]
    if not clauses:
        clauses = [f"not significantly different from {reference}{_at(rest)}"]
    elif rest:
        clauses.append(f"without a significant difference{_at(rest)}")
    tasks = max(cell.found.tasks for cell in pairs.values())
    own = comparison.groups[comparison.entries[n].groups[0]].runs
    unit, seeds = units(own), len(own)
    over = f"{tasks:,} {view.cell} {unit}" + (f", {seeds} runs" if seeds > 1 else "")
    corrected = f"Holm's correction for {table.comparisons:,} comparisons"
    return f"its {label} is {' and '.join(clauses)} (paired over {over}; {corrected})"


def _at(sizes: list[int | None]) -> str:
    """Return " at support 1 and 3"."""
    known = [size for size in sizes if size is not None]
    return f" at support {notation.spoken(known)}" if known else ""
