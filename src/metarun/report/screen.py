"""What stands on the terminal: at the end of a run, and when runs are compared."""

from __future__ import annotations

import csv as csv_format
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.measure import Measurement
from rich.text import Text

from metarun import atomic
from metarun.manifest import APART
from metarun.manifest import NAME as MANIFEST
from metarun.report import notation
from metarun.report.comparison import by_table, comparison, labels
from metarun.report.layout import MOST
from metarun.report.lists import lists_table
from metarun.report.passes import pass_table
from metarun.report.ranking import ranking_table
from metarun.report.stream import stream_table
from metarun.report.table import support_table
from metarun.report.verdict import verdict
from metarun.results import read_json

FIELDS = (
    "name", "run_id", "dataset", "synthetic", "setting", "protocol", "cell", "support", "method", "chosen", "metric",
    "value", "ci95", "n", "difference", "difference_ci95", "against", "folder",
)  # fmt: skip


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
        yield pass_table(summary, unicode) if "pass" in summary else stream_table(summary, protocol, unicode)
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
    if summary.get("protocol", "tasks") != "tasks":
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
    needed = Measurement.get(console, console.options.update(max_width=MOST), table.renderables[1]).maximum
    console.print(table, "", width=max(console.width, needed), crop=False)


def report(paths: Sequence[Path], csv: Path | None = None, console: Console | None = None) -> None:
    """Print one run in full, or several side by side; write every value to `csv` if it is named.

    paths: run folders, as `find_runs` gives them; unfinished ones are listed. Raises MetarunError for a broken file.
    """
    console = console or Console()
    unicode = console.encoding.lower().startswith("utf")
    finished = [Path(path) for path in paths if (Path(path) / "summary.json").exists()]
    summaries = [read_json(path / "summary.json") for path in finished]
    if len(summaries) == 1:
        show(summaries[0], console)
    elif summaries:
        # A pass over one stream has a table of its own; the others stand side by side by support size.
        for one in summaries:
            if "pass" in one:
                _put(console, pass_table(one, unicode))
        rest = [(one, _overrides(path)) for one, path in zip(summaries, finished, strict=True) if "pass" not in one]
        _side_by_side([one for one, _ in rest], [changed for _, changed in rest], console, unicode)
    for path in paths:
        if Path(path) not in finished:
            console.print(Text(f"not finished: {path} (the same command takes it up)", style="yellow"), soft_wrap=True)
    if csv is not None:
        _write_csv(Path(csv), [line for summary in summaries for line in _lines(summary)])
        console.print(Text(f"written: {csv}"), soft_wrap=True)


def _side_by_side(
    runs: Sequence[Mapping[str, Any]], overrides: Sequence[Sequence[str]], console: Console, unicode: bool
) -> None:
    """Print runs without values by support size in their own tables, the others in one for each set of sizes."""
    names, groups = labels(runs, overrides), by_table(runs)
    grouped = {number for numbers in groups.values() for number in numbers}
    for number, one in enumerate(runs):
        if number in grouped:
            continue
        console.print(Text(notation.plain(names[number], unicode), style="bold"))
        tables = list(_tables(one, console.width, unicode))
        for table in tables:
            _put(console, table)
        if not tables:
            console.print("no values on test\n")
    for (cell, _, _), numbers in groups.items():
        held, words = [runs[number] for number in numbers], [overrides[number] for number in numbers]
        _put(console, comparison(held, words, unicode, cell, [names[number] for number in numbers]))


def _metrics(summary: Mapping[str, Any], cell: str) -> list[str]:
    """Return the metrics that are printed by support size, the run's own last; of the first cell every one."""
    if summary.get("protocol", "tasks") != "tasks":
        return [summary["metric"]]
    entries = (found for methods in summary["test"][cell].values() for found in methods.values())
    known = dict.fromkeys(metric for found in entries for metric in found) if cell == notation.cells(summary)[0] else {}
    return [*(metric for metric in known if metric != summary["metric"]), summary["metric"]]


def _overrides(run: Path) -> list[str]:
    """Return what the run's command changed, from its manifest; nothing where there is none, or an older one."""
    if not (run / MANIFEST).exists():
        return []
    composed = read_json(run / MANIFEST).get("config", {}).get("composed", {})
    return [word for word in composed.get("overrides", []) if re.split(r"[./@=]", word.lstrip("+~"))[0] not in APART]


def _lines(summary: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield one line of the CSV per value of a run."""
    run = {key: summary.get(key) for key in FIELDS if key in summary} | {"setting": notation.setting(summary)}
    for cell, sizes in summary.get("test", {}).items():
        for size, methods in sizes.items():
            for method, entries in methods.items():
                for metric, entry in entries.items():
                    pair = notation.pairs(summary, metric, cell).get(size, {}).get(method)
                    place = {"protocol": summary.get("protocol", "tasks"), "cell": cell, "support": size}
                    line = run | place | _one(summary, method, metric, entry)
                    if pair:
                        line |= {"difference_ci95": pair["ci95"], **{k: pair[k] for k in ("difference", "against")}}
                    yield line
    for protocol, methods in summary.get("ranking", {}).items():
        for method, entries in methods.items():
            for metric, entry in entries.items():
                yield run | {"protocol": protocol} | _one(summary, method, metric, entry)
    for protocol, methods in summary.get("stream", {}).items():
        for method, entries in methods.items():
            pair = summary.get("pass", {}).get("paired", {}).get(method)
            for metric, entry in entries.items():
                line = run | {"protocol": protocol} | _one(summary, method, metric, entry)
                if pair and metric == summary["metric"]:
                    against = {"against": summary["reference"]}
                    line |= {"difference": pair["difference"], "difference_ci95": pair["ci95"], **against}
                yield line


def _one(summary: Mapping[str, Any], method: str, metric: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of one value."""
    return {"method": method, "chosen": method == summary.get("winner"), "metric": metric, **entry}


def _write_csv(path: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    """Write the lines with every field of FIELDS, empty where it has no meaning."""
    text = io.StringIO(newline="")
    writer = csv_format.DictWriter(text, FIELDS, restval="")
    writer.writeheader()
    writer.writerows(lines)
    atomic.write_text(path, text.getvalue())
