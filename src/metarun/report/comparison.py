"""Several runs side by side: each named by what its command changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group
from rich.text import Text

from metarun.report import notation
from metarun.report.layout import framed

Summary = Mapping[str, Any]


def comparison(
    summaries: Sequence[Summary],
    overrides: Sequence[Sequence[str]],
    unicode: bool = True,
    cell: str | None = None,
    names: Sequence[str] | None = None,
) -> Group:
    """Return rows per run: its label, then the method that validation chose and the reference it is held against.

    overrides: of each run, as "dataset.split_seed=2"; those that differ are its label.
    cell: the first that any run has if None; names: the labels, where they are told apart from those of more runs.
    """
    cell = cell or compared(summaries)[0]
    units = dict.fromkeys(map(notation.unit, summaries))
    metrics = list(dict.fromkeys(notation.label(summary["metric"]) for summary in summaries))
    sizes = sorted({size for summary in summaries for size in _sizes(summary, cell)}, key=int)
    rows = []
    for label, summary in zip(names or labels(summaries, overrides), summaries, strict=True):
        rows.append([Text(notation.plain(label, unicode), style="bold")])
        rows += _methods(summary, cell, sizes, len(metrics) > 1, unicode)
    title = f"{' / '.join(metrics)} of {cell} test {' and '.join(units)} by support ratings"
    return framed(title, notation.heads(summaries, sizes), rows, _caption(summaries, cell), unicode)


def compared(summaries: Sequence[Summary]) -> list[str]:
    """Return the unseen cells that any run was judged on, or that of known users."""
    known = dict.fromkeys(cell for summary in summaries for cell in notation.cells(summary))
    return [cell for cell in known if any(cell in summary.get("test", {}) for summary in summaries)] or ["warm"]


def labels(summaries: Sequence[Summary], overrides: Sequence[Sequence[str]]) -> list[str]:
    """Return what tells each run from the others: the overrides that not all share, its id where that is not enough."""
    shared = set.intersection(*map(set, overrides)) if overrides else set()
    said = [" ".join(word.removeprefix("experiment=") for word in words if word not in shared) for words in overrides]
    return [
        label if label and said.count(label) == 1 else f"{label} {summary['run_id']}".strip()
        for label, summary in zip(said, summaries, strict=True)
    ]


def by_table(summaries: Sequence[Summary]) -> dict[tuple[str, str, tuple[str, ...]], list[int]]:
    """Return which runs, by number, share a table: {(cell, metric, support sizes): runs that have a number in it}."""
    groups: dict[tuple[str, str, tuple[str, ...]], list[int]] = {}
    for number, summary in enumerate(summaries):
        for cell in compared([summary]):
            sizes = list(_sizes(summary, cell))
            rows = _methods(summary, cell, sizes, False, True)
            if any(text.plain.strip() for row in rows for text in row[1:]):
                groups.setdefault((cell, summary["metric"], tuple(sizes)), []).append(number)
    return groups


def _methods(summary: Summary, cell: str, sizes: Sequence[str], name_metric: bool, unicode: bool) -> list[list[Text]]:
    """Return a row for each of the run's methods that are compared, with the metric's name where runs differ in it."""
    found = _sizes(summary, cell)
    chosen = [summary.get("winner"), summary.get("reference", "baseline/ridge")]
    known = [m for methods in found.values() for m in methods if notation.family(m) == "pretrain"]
    rows = []
    for method in dict.fromkeys([*filter(None, chosen), *known]):
        name = f"  {method}" + (f" {notation.label(summary['metric'])}" if name_metric else "")
        row = [Text(notation.plain(name, unicode), notation.STYLES.get(notation.family(method), ""))]
        for size in sizes:
            entry = found.get(size, {}).get(method, {}).get(summary["metric"])
            pair = notation.pairs(summary, summary["metric"], cell).get(size, {}).get(method)
            text = notation.number(entry, compact=True) + notation.star(pair, summary["metric"])
            row.append(Text(notation.plain(text, unicode)))
        rows.append(row)
    return rows


def _caption(summaries: Sequence[Summary], cell: str) -> str:
    """Return which runs they are, what the marks mean, and a warning where runs cannot be compared."""
    groups: dict[tuple[str, str], list[Summary]] = {}
    for summary in summaries:
        groups.setdefault((summary["name"], summary["dataset"]), []).append(summary)
    lines = [", ".join(filter(None, [*group, _settings(runs)])) + _ids(runs) for group, runs in groups.items()]
    units = " and ".join(dict.fromkeys(map(notation.unit, summaries)))
    lines.append(f"the method that validation chose, and its reference; ± 95 % interval over {units} in thousandths")
    if cell != "warm":
        lines.append("* better, ° worse than the reference: the 95 % interval of the paired difference excludes 0")
    if len({(summary["dataset"], _split(summary)) for summary in summaries}) > 1:
        lines.append("different data or splits: values of different runs are not on the same users")
    if any(summary["synthetic"] for summary in summaries):
        lines.append("synthetic data is a plumbing check, not evidence")
    return "\n".join(lines)


def _settings(runs: Sequence[Summary]) -> str:
    """Return "split cold, split seed 0, 1 and 2, seed 0" of several runs."""
    known: dict[str, dict[str, None]] = {}
    for run in runs:
        for key, value in run.get("setting", {}).items():
            known.setdefault(str(key).replace("_", " "), {})[str(value)] = None
    return ", ".join(f"{key} {notation.spoken(values)}" for key, values in known.items())


def _ids(runs: Sequence[Summary]) -> str:
    """Return the ids, in the order of the table."""
    return f": run{'s' if len(runs) > 1 else ''} {', '.join(run['run_id'] for run in runs)}"


def _split(summary: Summary) -> str:
    """Return what of the setting decides who is tested."""
    return ", ".join(f"{k} {v}" for k, v in summary.get("setting", {}).items() if str(k).startswith("split"))


def _sizes(summary: Summary, cell: str) -> Mapping[str, Any]:
    """Return the values of one test cell by support size."""
    found: Mapping[str, Any] = summary.get("test", {}).get(cell, {})
    return found
