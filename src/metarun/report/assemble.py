"""From run folders to a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from metarun.errors import MetarunError
from metarun.report.contrast import Comparison, chosen_by_validation, entries_of, table_of
from metarun.report.groups import Asked, group
from metarun.report.pooled import Replicate
from metarun.report.reading import Run
from metarun.report.views import Measured, chosen_metrics, measure, views


def compare(runs: Sequence[Run], asked: Asked, metrics: Sequence[str] = ()) -> tuple[Comparison | None, list[str]]:
    """Return the comparison of finished runs, None where none has task scores, and a line for each run left out.

    Raises MetarunError for runs that cannot stand in one comparison, and for a key or metric that there is not.
    """
    measured: dict[int, Measured] = {}
    lines: list[str] = []
    kept: list[Run] = []
    seen: dict[tuple[str, bytes], tuple[Replicate, bytes]] = {}
    for run in runs:
        try:
            measured[id(run)] = measure(run, seen)
            kept.append(run)
        except MetarunError as error:
            lines.append(f"left out: {error}")
    if not kept:
        return None, lines
    groups, repeats = group(kept, asked)
    used = [run for each in groups for run in each.runs]
    table = views([measured[id(run)] for run in used])
    shown = chosen_metrics(table, metrics, used)
    entries = entries_of(groups, measured, asked.over)
    validation, chosen = chosen_by_validation(entries, groups)
    tables = {
        (view, metric): table_of((view, metric), sizes, entries, groups, measured, asked.over)
        for view, found in table.items()
        for metric, sizes in found.items()
    }
    return Comparison(groups, entries, asked.over, validation, chosen, tables, table, shown), lines + repeats


def folders(comparison: Comparison) -> list[Path]:
    """Return the folders of the runs that are compared."""
    return [run.folder for each in comparison.groups for run in each.runs]
