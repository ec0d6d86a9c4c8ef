"""What stands on the terminal: at the end of a run, and when runs are compared."""

from __future__ import annotations

import csv as csv_format
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.text import Text

from metarun import atomic
from metarun.report import notation
from metarun.report.layout import framed
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
    """Print a finished run: warnings, ranking, the table by support size, and the verdict as the last line."""
    console = console or Console()
    unicode = console.encoding.lower().startswith("utf")
    for warning in summary.get("warnings", []):
        console.print(Text(notation.plain(f"warning: {warning}", unicode), style="yellow"))
    if summary.get("ranking"):
        console.print(ranking_table(summary, unicode), "")
    for protocol in summary.get("stream", {}):
        console.print(stream_table(summary, protocol, unicode), "")
    for cell in sorted(summary.get("test", {}), key=lambda name: name == "user-cold"):
        console.print(support_table(summary, None, cell, console.width, unicode), "")
    # One line however long: a sentence that a script or a log reader can find whole.
    console.print(Text(notation.plain(verdict(summary), unicode), style="bold"), soft_wrap=True)


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
        console.print(_comparison(summaries, unicode))
    for path in paths:
        if Path(path) not in finished:
            console.print(Text(f"not finished: {path} (the same command takes it up)", style="yellow"), soft_wrap=True)
    if csv is not None:
        _write_csv(Path(csv), [line for summary in summaries for line in _lines(summary)])
        console.print(Text(f"written: {csv}"), soft_wrap=True)


def _comparison(summaries: Sequence[Mapping[str, Any]], unicode: bool) -> Group:
    """Return two rows per run: the method that validation chose, and the reference it is held against."""
    metrics = dict.fromkeys(notation.label(summary["metric"]) for summary in summaries)
    sizes = sorted({size for summary in summaries for size in _sizes(summary)}, key=int)
    rows = []
    for summary in summaries:
        rows.append([Text(summary["run_id"])])
        for method in dict.fromkeys([summary.get("winner"), summary.get("reference", "baseline/ridge")]):
            if method is not None:
                name = Text(notation.plain(f"  {method}", unicode), notation.STYLES.get(notation.family(method), ""))
                rows.append([name, *_row(summary, method, sizes, unicode)])
    title = f"{' / '.join(metrics)} of user-cold test users by support ratings"
    return framed(title, [f"{size} " for size in sizes], rows, _comparison_caption(summaries), unicode)


def _row(summary: Mapping[str, Any], method: str, sizes: Sequence[str], unicode: bool) -> list[Text]:
    """Return a method's values with their stars."""
    cells = []
    for size in sizes:
        entry = _sizes(summary).get(size, {}).get(method, {}).get(summary["metric"])
        star = notation.star(summary.get("paired", {}).get(size, {}).get(method), summary["metric"])
        cells.append(Text(notation.plain(notation.number(entry, compact=True) + star, unicode)))
    return cells


def _comparison_caption(summaries: Sequence[Mapping[str, Any]]) -> str:
    """Return which runs they are, what the marks mean, and a warning where runs cannot be compared."""
    lines = [
        ", ".join(filter(None, [f"{s['run_id']}: {s['name']}", s["dataset"], notation.setting(s)])) for s in summaries
    ]
    lines += [
        "the method that validation chose, and its reference; ± 95 % interval over users in thousandths",
        "* better, ° worse than the reference: the 95 % interval of the paired difference excludes 0",
    ]
    if len({(summary["dataset"], _split(summary)) for summary in summaries}) > 1:
        lines.append("different data or splits: values of different runs are not on the same users")
    if any(summary["synthetic"] for summary in summaries):
        lines.append("synthetic data is a plumbing check, not evidence")
    return "\n".join(lines)


def _split(summary: Mapping[str, Any]) -> str:
    """Return what of the setting decides who is tested."""
    return ", ".join(f"{k} {v}" for k, v in summary.get("setting", {}).items() if str(k).startswith("split"))


def _sizes(summary: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the user-cold values by support size."""
    found: Mapping[str, Any] = summary.get("test", {}).get("user-cold", {})
    return found


def _lines(summary: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield one line of the CSV per value of a run."""
    run = {key: summary.get(key) for key in FIELDS if key in summary} | {"setting": notation.setting(summary)}
    for cell, sizes in summary.get("test", {}).items():
        for size, methods in sizes.items():
            for method, entries in methods.items():
                for metric, entry in entries.items():
                    pair = summary.get("paired", {}).get(size, {}).get(method, {})
                    paired = cell == "user-cold" and metric == summary["metric"] and pair
                    place = {"protocol": summary.get("protocol", "tasks"), "cell": cell, "support": size}
                    line = run | place | _one(summary, method, metric, entry)
                    if paired:
                        line |= {"difference_ci95": pair["ci95"], **{k: pair[k] for k in ("difference", "against")}}
                    yield line
    for protocol, methods in summary.get("ranking", {}).items():
        for method, entries in methods.items():
            for metric, entry in entries.items():
                yield run | {"protocol": protocol} | _one(summary, method, metric, entry)


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
