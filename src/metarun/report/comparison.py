"""Several runs in one table: entries by support size with marks, and what they have cost, for a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from rich.console import Group
from rich.text import Text

from metarun.report import notation
from metarun.report.contrast import LEVEL, Comparison, Entry, Table
from metarun.report.cost import FIELDS, cost, spelled
from metarun.report.groups import natural, replicate, seed_of, tasks_of
from metarun.report.layout import framed
from metarun.report.lists import COLUMNS
from metarun.report.reading import Run
from metarun.report.views import View
from metarun.results import finite

Column = tuple[Table, int | None]
STARS = {1: "*", 0: " ", -1: "°"}


def runs_of(comparison: Comparison) -> list[Run]:
    """Return all runs that are compared."""
    return [run for group in comparison.groups for run in group.runs]


def comparison_tables(comparison: Comparison, unicode: bool = True) -> Iterator[Group]:
    """Yield a table for each view and metric that is shown, then one of what the groups have cost."""
    for place, columns in blocks(comparison):
        yield _quality(comparison, place, columns, unicode)
    yield _cost(comparison, unicode)


def blocks(comparison: Comparison) -> list[tuple[View, list[Column]]]:
    """Return the tables that are shown: a metric by support size, or all metrics where there are no sizes."""
    found: dict[tuple[object, ...], tuple[View, list[Column]]] = {}
    for view, metric in comparison.shown:
        table = comparison.tables[view, metric]
        if table.sizes != [None]:
            found[view, metric] = (view, [(table, size) for size in table.sizes])
        else:
            others = [t for (v, name), t in comparison.tables.items() if v == view and name != metric]
            others.sort(key=lambda each: _place(each.metric))
            found[view, None] = (view, [(each, None) for each in (table, *others) if each.sizes == [None]])
    return list(found.values())


def printed(comparison: Comparison, columns: Sequence[Column]) -> list[int]:
    """Return the entries with a value in the columns; of what not all runs share, strategies and the reference."""
    references = {run.summary.get("reference", "baseline/ridge") for run in runs_of(comparison)}
    return [
        n
        for n, entry in enumerate(comparison.entries)
        if any((n, size) in table.cells for table, size in columns)
        and (not entry.where or notation.family(entry.method) != "baseline" or entry.method in references)
    ]


def _quality(comparison: Comparison, view: View, columns: Sequence[Column], unicode: bool) -> Group:
    """Return the table of one view."""
    runs = tested(comparison, [table for table, _ in columns])
    known = notation.spoken(dict.fromkeys(str(run.summary["dataset"]) for run in runs))
    if columns[0][1] is None:
        ends = {table.metric.partition("@")[2] for table, _ in columns}
        names = [table.metric.partition("@")[0] if len(ends) == 1 else table.metric for table, _ in columns]
        heads = [f"{notation.label(name)} " for name in names]
        at = f" at {ends.pop()}" if ends not in ({""}, set()) and len(ends) == 1 else ""
        title = f"{known}: {view.cell} {units(runs)}, protocol {view.protocol}{at}"
    else:
        heads = notation.heads([run.summary for run in runs], [str(size) for _, size in columns])
        by = notation.given(runs[0].summary)
        title = f"{known}: {notation.label(columns[0][0].metric)} by {by}, {view.cell} {units(runs)}"
    rows, where = [], ""
    for n in printed(comparison, columns):
        entry = comparison.entries[n]
        if entry.where != where:
            where = entry.where
            rows.append([Text(notation.plain(where, unicode), style="bold")])
        rows.append(_row(comparison, n, entry, columns, unicode))
    return framed(title, heads, rows, _caption(comparison, view, columns), unicode)


def _row(comparison: Comparison, n: int, entry: Entry, columns: Sequence[Column], unicode: bool) -> list[Text]:
    """Return an entry's line: ">.890±16*" is the best of its column, and significantly better than the reference."""
    arrow = "→" if n in comparison.chosen else " "
    style = notation.STYLES.get(notation.family(entry.method), "")
    row = [Text(notation.plain(f"{arrow} {entry.method}", unicode), style=style)]
    for table, size in columns:
        cell = table.cells.get((n, size))
        if cell is None:
            row.append(Text(""))
            continue
        first = ">" if cell.best else "≈" if cell.near else ""
        # Of many metrics the first alone has its interval, to fit the width: the others' are in the CSV.
        half = cell.found.ci95 if table is columns[0][0] else math.nan
        text = first + number(cell.found.value, half) + STARS[cell.against(table.metric)]
        row.append(Text(notation.plain(text, unicode), style="bold" if cell.best else ""))
    return row


def number(value: float, ci95: float) -> str:
    """Return a value with the interval in thousandths, "diverged" where it is not finite."""
    return notation.number({"value": finite(value), "ci95": finite(ci95), "n": 1}, compact=True)


def _cost(comparison: Comparison, unicode: bool) -> Group:
    """Return what each group has cost, as a mean over its runs."""
    rows = []
    for group in comparison.groups:
        found = cost(group.runs)
        texts = [str(len(group.runs)), *(spelled(found.get(field)) for field in FIELDS)]
        rows.append([Text(notation.plain(text, unicode)) for text in (group.label or "all runs", *texts)])
    heads = [f" {head}" for head in ("runs", *FIELDS.values())]
    caption = "mean of a run, summed over its attempts; - not recorded by every run"
    if any(text.plain.startswith("≥") for row in rows for text in row[1:]):
        caption += "; ≥ an attempt was killed before it could say"
    return framed("cost", heads, rows, caption, unicode)


def caption_lines(comparison: Comparison, view: View, columns: Sequence[Column]) -> list[str]:
    """Return in whole sentences what the figures are: runs, tasks, interval, and what the marks mean."""
    first = columns[0][0]
    runs = tested(comparison, [first])
    unit = units(runs)
    tasks = sorted({cell.found.tasks for cell in first.cells.values()})
    n = f"{tasks[0]:,}" if len(tasks) == 1 else f"{tasks[0]:,} to {tasks[-1]:,}"
    higher = {notation.higher_is_better(table.metric) for table, _ in columns}
    better = "" if len(higher) > 1 else "more is better" if True in higher else "less is better"
    over = f", averaged over {notation.spoken(comparison.over)}" if comparison.over else ""
    return [
        f"n = {n} {view.cell} test {unit}, protocol {view.protocol}; {replicates(comparison)}{over}; {setting(runs)}",
        "; ".join(filter(None, [interval_words(comparison, unit), better])),
        *mark_lines(comparison, [table for table, _ in columns], unit),
    ]


def tested(comparison: Comparison, tables: Sequence[Table]) -> list[Run]:
    """Return the runs with a value in the tables."""
    numbers = {g for table in tables for n, _ in table.cells for g in comparison.entries[n].groups}
    return [run for number in sorted(numbers) for run in comparison.groups[number].runs]


def units(runs: Sequence[Run]) -> str:
    """Return what a task of the runs is: users, items, or blocks of rows of one stream."""
    names = ("blocks" if "pass" in run.summary else notation.unit(run.summary) for run in runs)
    return notation.spoken(dict.fromkeys(names))


def _place(metric: str) -> tuple[int, str]:
    """Return where a metric stands among the columns of a table of lists."""
    name = metric.partition("@")[0]
    return (COLUMNS.index(name) if name in COLUMNS else len(COLUMNS), metric)


def _caption(comparison: Comparison, view: View, columns: Sequence[Column]) -> str:
    """Return the lines below a table, with its warnings."""
    lines = caption_lines(comparison, view, columns)
    lines[1] = f"{lines[1]}; intervals in thousandths (±18 is ±.018)"
    if any(entry.where and notation.family(entry.method) == "baseline" for entry in comparison.entries):
        lines.append("baselines that differ between groups: only the reference here, all in the CSV and on the page")
    if any(run.summary["synthetic"] for run in runs_of(comparison)):
        lines.append("synthetic data is a plumbing check, not evidence")
    return "\n".join(lines)


def replicates(comparison: Comparison) -> str:
    """Return "3 groups of 3 seeds (0, 1 and 2)"."""
    counts = sorted({len(group.runs) for group in comparison.groups})
    seeds = notation.spoken(_sorted({seed_of(run) for run in runs_of(comparison)}))
    groups = len(comparison.groups)
    many = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    named = {replicate(run, comparison.over)[1:] for run in runs_of(comparison)}
    what = "run" if len(named) > 1 else "seed"
    text = f"{many} {what}{'s' if counts[-1] > 1 else ''} (seed{'s' if len(seeds) > 1 else ''} {seeds})"
    return f"{groups} groups of {text}" if groups > 1 else text


def _sorted(values: Iterable[str]) -> list[str]:
    """Return values in natural order."""
    return sorted(values, key=natural)


def interval_words(comparison: Comparison, unit: str) -> str:
    """Return what the intervals cover."""
    most = max(len(group.runs) for group in comparison.groups)
    if most == 1:
        return f"± 95 % interval over {unit}"
    if any(key.startswith("dataset") for key in comparison.over):
        return f"mean, ± 95 % interval over splits and {unit}"
    return f"mean over runs, ± 95 % interval that covers {unit} and seeds"


def mark_lines(comparison: Comparison, tables: Sequence[Table], unit: str) -> list[str]:
    """Return what > ≈ * ° and the arrow mean."""
    count = max((table.comparisons for table in tables), default=0)
    runs = tested(comparison, tables)
    references = dict.fromkeys(run.summary.get("reference", "baseline/ridge") for run in runs)
    level = notation.short(LEVEL).rstrip("0")
    said = f"* better, ° worse than {notation.spoken(references)} of the same runs"
    lines = [
        f"> best of its column, ≈ not significantly worse than it; {said}: paired on identical {unit}, p < {level} "
        f"after Holm's correction for {count:,} comparisons"
    ]
    if comparison.chosen:
        lines.append("→ chosen on validation tasks, as the mean over runs; test never chooses")
    if len({tasks_of(run) for run in runs}) > 1 and not comparison.over:
        lines.append(
            f"the groups were not tested on the same {unit}: differences across them are not paired, and each set of "
            f"{unit} has a best of its own"
        )
    return lines


def setting(runs: Sequence[Run]) -> str:
    """Return "split cold, split seed 0, 1 and 2" of several runs."""
    known: dict[str, dict[str, None]] = {}
    for run in runs:
        for key, value in run.summary.get("setting", {}).items():
            if key != "seed":
                known.setdefault(str(key).replace("_", " "), {})[str(value)] = None
    return ", ".join(f"{key} {notation.spoken(values)}" for key, values in known.items())
