"""Methods by support sizes: every value with its interval, the best marked, differences to the reference starred."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group
from rich.text import Text

from metarun.report import notation
from metarun.report.layout import framed

# Below this many users an interval is so wide that the order of methods says little.
FEW = 30


def support_table(
    summary: Mapping[str, Any],
    metric: str | None = None,
    cell: str | None = None,
    width: int = 80,
    unicode: bool = True,
    brief: bool = False,
) -> Group:
    """Return the table of one test cell, in the compact notation where the full one is wider than `width` characters.

    cell: the first unseen one if None.
    brief: the compact notation and a caption of one line, for a table above the one that explains everything.
    Stars stand where the summary has paired differences of this metric: in its own metric, on unseen tasks.
    """
    metric, cell = metric or summary["metric"], cell or notation.cells(summary)[0]
    sizes: Mapping[str, Any] = summary["test"][cell]
    pairs = notation.pairs(summary, metric, cell)
    methods = notation.framed_by(method for found in sizes.values() for method in found)
    for compact in (True,) if brief else (False, True):
        cells = {shown: _cells(method, sizes, pairs, metric, compact) for method, shown in methods}
        names = 2 + max(len(notation.last(method)) for method, _ in methods)
        if compact or names + sum(1 + max(map(len, column)) for column in zip(*cells.values(), strict=True)) <= width:
            break
    title = (
        f"{summary['dataset']}: {notation.label(metric)} by {notation.given(summary)}, {cell} {notation.unit(summary)}"
    )
    rows = grouped(list(cells), cells, summary.get("winner"), unicode)
    heads = notation.heads([summary], sizes)
    caption = _brief(summary, metric, cell) if brief else _caption(summary, metric, cell, compact, bool(pairs))
    return framed(title, heads, rows, caption, unicode)


def grouped(
    methods: Sequence[str], cells: Mapping[str, Sequence[str]], winner: str | None, unicode: bool
) -> list[list[Text]]:
    """Return the rows of methods under their families' headings, with an arrow where validation chose one.

    A name without a family (random, oracle) has no heading. The best (">") is bold, the significantly worse ("°") dim.
    """
    rows, heading = [], ""
    for method in methods:
        family = notation.family(method)
        style = notation.STYLES.get(family, "")
        if "/" in method and family != heading:
            heading = family
            rows.append([Text(family, style=f"bold {style}".strip())])
        name = f"{'→' if method == winner else ' '} {notation.last(method)}" if "/" in method else method
        row = [Text(notation.plain(name, unicode), style=style)]
        for text in cells[method]:
            weight = "bold" if text.startswith(">") else "dim" if text.endswith("°") else ""
            row.append(Text(notation.plain(text, unicode), style=weight))
        rows.append(row)
    return rows


def _cells(method: str, sizes: Mapping[str, Any], pairs: Mapping[str, Any], metric: str, compact: bool) -> list[str]:
    """Return one text per support size: ">.907±18*" is the best of its column, and significantly better."""
    texts = []
    for size, found in sizes.items():
        text = notation.number(found.get(method, {}).get(metric), compact)
        first = ">" if method in notation.best(found, metric) else ""
        texts.append(first + text + notation.star(pairs.get(size, {}).get(method), metric))
    return texts


def _users(sizes: Mapping[str, Any], metric: str) -> list[int]:
    """Return how many users, or items, each value of a metric is over."""
    return [m[metric]["n"] for methods in sizes.values() for m in methods.values() if metric in m]


def _counted(found: Sequence[int]) -> str:
    """Return "774", or "700 to 774" where the values are not all over the same."""
    return " to ".join(f"{n:,}" for n in sorted({min(found), max(found)})) if found else "no"


def _brief(summary: Mapping[str, Any], metric: str, cell: str) -> str:
    """Return the one line below a brief table."""
    users = f"{_counted(_users(summary['test'][cell], metric))} {cell} test {notation.unit(summary)}"
    better = "more" if notation.higher_is_better(metric) else "less"
    return f"{users}; marks as in the main table; ± 95 % in thousandths; {better} is better"


def _caption(summary: Mapping[str, Any], metric: str, cell: str, compact: bool, starred: bool) -> str:
    """Return what the figures are: protocol, cell, users, split and seeds, and what the marks mean."""
    sizes: Mapping[str, Any] = summary["test"][cell]
    found = _users(sizes, metric)
    users = _counted(found)
    better = "more" if notation.higher_is_better(metric) else "less"
    unit = notation.unit(summary)
    same = f": the same {unit} and queries at every size" if len(sizes) > 1 and len({*found}) == 1 else ""
    lines = [
        f"{users} {cell} test {unit}, protocol {summary.get('protocol', 'tasks')}{same}; "
        f"{notation.setting(summary)}".rstrip("; "),
        f"± 95 % interval over {unit}{', in thousandths (±18 is ±.018)' if compact else ''}; {better} is better, "
        "> best of its column",
    ]
    if summary.get("winner"):
        lines[-1] += "; → the run's own" if "pass" in summary else "; → chosen on validation"
    if found and min(found) < FEW:
        lines.insert(1, f"only {min(found)} {unit}: read the intervals, not the ranks")
    all_of = "on other images of the same classes" if unit == "images" else f"with all training ratings of these {unit}"
    lines += [
        f"{method}: {all_of}, not {notation.spoken(sizes)}"
        for method in notation.ordered(method for methods in sizes.values() for method in methods)
        if notation.family(method) == "pretrain"
    ]
    if starred:
        reference = summary.get("reference", "baseline/ridge")
        lines.append(
            f"* better, ° worse than {reference}: the 95 % interval of the paired difference excludes 0 "
            "(size by size, not corrected for the number of comparisons)"
        )
    if cell == notation.cells(summary)[0] and metric == summary["metric"]:
        lines += filter(None, [trials(summary)])
    return "\n".join(lines)


def trials(summary: Mapping[str, Any]) -> str:
    """Return "24 validation trials per method and size on 488 validation users (constant: 1)", "" where none was made.

    The number that most methods had comes first, the others by name.
    """
    counts: Mapping[str, int] = summary.get("trials", {})
    if not any(counts.values()):
        return ""
    had = list(counts.values())
    usual = max(set(had), key=lambda count: (had.count(count), count))
    names = [notation.last(method) for method in counts]
    others: dict[int, list[str]] = {}
    for method, count in counts.items():
        if count != usual:
            name = notation.last(method)
            others.setdefault(count, []).append(name if names.count(name) == 1 else method)
    users = summary.get("validation_tasks")
    line = f"{usual} validation trial{'s' if usual != 1 else ''} per method and size"
    line += f" on {users:,} validation {notation.unit(summary)}" if users else ""
    exceptions = "; ".join(f"{notation.spoken(who)}: {count}" for count, who in others.items())
    return f"{line} ({exceptions})" if exceptions else line
