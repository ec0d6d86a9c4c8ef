"""What stands on the terminal: at the end of a run, and when runs are compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.measure import Measurement
from rich.segment import Segments
from rich.text import Text

from metarun.errors import MetarunError
from metarun.report import notation, sheet
from metarun.report.assemble import compare
from metarun.report.comparison import comparison_tables
from metarun.report.contrast import Comparison
from metarun.report.groups import Asked
from metarun.report.headline import headline
from metarun.report.layout import MOST
from metarun.report.lists import lists_table
from metarun.report.passes import pass_table
from metarun.report.ranking import ranking_table
from metarun.report.reading import read_runs
from metarun.report.sequence import sequence_facts
from metarun.report.stream import stream_table
from metarun.report.streams import stream_facts
from metarun.report.table import support_table
from metarun.report.verdict import verdict


def show(summary: Mapping[str, Any], console: Console | None = None) -> None:
    """Print a finished run: warnings, ranking, the tables by support size, and the verdict as the last line."""
    console = console or Console()
    unicode = console.encoding.lower().startswith("utf")
    for warning in summary.get("warnings", []):
        console.print(Text(notation.plain(f"warning: {warning}", unicode), style="yellow"))
    for table in _tables(summary, console.width, unicode):
        _put(console, table)
    # One line however long: a sentence that a script or a log reader can find whole.
    console.print(Text(notation.plain(verdict(summary), unicode), style="bold"), soft_wrap=True)


def _tables(summary: Mapping[str, Any], width: int, unicode: bool) -> Iterator[Group]:
    """Yield a run's tables, none without a number: rankings, streams, then by support size, the main one last."""
    yield from _rankings(summary, unicode)
    for protocol in summary.get("stream", {}):
        if "more" in summary.get("pass", {}):
            yield stream_facts(summary, unicode)
        yield pass_table(summary, unicode) if "pass" in summary else stream_table(summary, protocol, unicode)
    if "sequence" in summary:
        yield sequence_facts(summary, unicode)
    first = notation.cells(summary)[0]
    for cell in sorted(summary.get("test", {}), key=lambda name: name == first):
        for metric in _metrics(summary, cell):
            entries = (found for methods in summary["test"][cell].values() for found in methods.values())
            if any(notation.number(found.get(metric), compact=True) for found in entries):
                yield support_table(summary, metric, cell, width, unicode, brief=metric != summary["metric"])


def _rankings(summary: Mapping[str, Any], unicode: bool) -> Iterator[Group]:
    """Yield the rated-only table, or those of lists: of known users, and of new ones with the most that is known."""
    found: Mapping[str, Any] = summary.get("ranking", {})
    if any(protocol.startswith("rated-only") for protocol in found):
        if any(map(_most, found.values())):
            yield ranking_table(summary, unicode)
        return
    for protocol, methods in found.items():
        if users := _most(methods):
            yield lists_table(summary, methods, protocol, f"{users:,} known users", unicode)
    if summary.get("protocol", "tasks") != "tasks" and "sequence" not in summary:
        for cell, sizes in summary.get("test", {}).items():
            size, methods = list(sizes.items())[-1]
            if users := _most(methods):
                whom = f"{users:,} {cell} test users with {size} known interactions"
                yield lists_table(summary, methods, summary["protocol"], whom, unicode)


def _most(methods: Mapping[str, Any]) -> int:
    """Return the most users that any value is over."""
    return max((entry["n"] for entries in methods.values() for entry in entries.values()), default=0)


def _put(console: Console, table: Group) -> None:
    """Print a table and a blank line; wider than the terminal rather than cut, where a number needs the room."""
    title, rows, caption = table.renderables
    needed = Measurement.get(console, console.options.update(max_width=MOST), rows).maximum
    # Console.print never goes beyond the terminal's width; what is rendered already it leaves alone.
    wide = Segments(console.render(rows, console.options.update(max_width=max(console.width, needed))))
    console.print(title)
    console.print(wide, end="", crop=False, soft_wrap=True)
    console.print(caption)
    console.print()


def report(
    paths: Sequence[Path],
    csv: Path | None = None,
    console: Console | None = None,
    html: Path | None = None,
    asked: Asked | None = None,
    metrics: Sequence[str] = (),
) -> None:
    """Print one run in full, or several side by side; write every value to `csv`, and a page to `html`, if named.

    paths: run folders, as `find_runs` gives them; what holds no finished run is listed. Raises MetarunError where none
    does, and for runs that do not belong in one comparison.
    """
    console = console or Console()
    unicode = console.encoding.lower().startswith("utf")
    runs, lines = read_runs(paths)
    if not runs and len(lines) == 1:
        raise MetarunError(lines[0])
    found = None
    if len(runs) > 1 or (runs and (csv or html or metrics or asked not in (None, Asked()))):
        found, left = compare(runs, asked or Asked(), metrics)
        lines += left
    if len(runs) == 1 and not metrics:
        show(runs[0].summary, console)
    elif found is not None:
        for table in comparison_tables(found, unicode):
            _put(console, table)
        console.print(Text(notation.plain(headline(found), unicode), style="bold"), soft_wrap=True)
    for line in lines:
        console.print(Text(notation.plain(line, unicode), style="yellow"), soft_wrap=True)
    if not runs:
        raise MetarunError(f"none of {len(lines)} folders holds a finished run that can be read")
    if found is None and (csv or html or len(runs) > 1):
        raise MetarunError("nothing to compare: no run has the values of its test tasks (task_scores.npz)")
    if found is not None:
        _write(found, lines, csv, html, console)


def _write(found: Comparison, lines: Sequence[str], csv: Path | None, html: Path | None, console: Console) -> None:
    """Write the files that were named and say so."""
    if csv is not None:
        sheet.write(Path(csv), found)
        console.print(Text(f"written: {csv}"), soft_wrap=True)
    if html is not None:
        from metarun.report.page import write

        write(Path(html), found, lines)
        console.print(Text(f"written: {html}"), soft_wrap=True)


def _metrics(summary: Mapping[str, Any], cell: str) -> list[str]:
    """Return the metrics that are printed by support size, the run's own last; of the first cell every one."""
    if summary.get("protocol", "tasks") != "tasks":
        return [summary["metric"]]
    entries = (found for methods in summary["test"][cell].values() for found in methods.values())
    known = dict.fromkeys(metric for found in entries for metric in found) if cell == notation.cells(summary)[0] else {}
    return [*(metric for metric in known if metric != summary["metric"]), summary["metric"]]
