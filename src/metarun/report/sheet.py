"""The comparison as rows of a CSV: one per entry, view, support size and metric, with marks and cost."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from metarun import atomic
from metarun.report import cost
from metarun.report.comparison import setting
from metarun.report.contrast import Cell, Comparison, Entry, Table
from metarun.report.groups import seed_of
from metarun.report.notation import spoken
from metarun.results import finite

FIELDS = (
    "name", "dataset", "synthetic", "setting", "group", "method", "chosen", "protocol", "cell", "support", "metric",
    "value", "ci95", "n", "runs", "seeds", "best", "not_worse_than_best", "significance", "difference",
    "difference_ci95", "p", "p_holm", "against", "difference_to_best", "difference_to_best_ci95", "p_holm_to_best",
    "validation", *cost.FIELDS, "method_seconds", "method_steps", "run_ids",
)  # fmt: skip
WORDS = {1: "better", 0: "", -1: "worse"}


def write(path: Path, comparison: Comparison) -> None:
    """Write every value of the comparison; raises MetarunError where the file cannot be written."""
    keys = dict.fromkeys(key for group in comparison.groups for key in group.keys)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, (*FIELDS, *(key for key in keys if key not in FIELDS)), restval="")
    writer.writeheader()
    writer.writerows(lines(comparison))
    atomic.write_text(path, text.getvalue())


def lines(comparison: Comparison) -> Iterator[dict[str, Any]]:
    """Yield one line per value; empty where a field has no meaning or is not known."""
    fixed = [_fixed(comparison, n, entry) for n, entry in enumerate(comparison.entries)]
    for table in comparison.tables.values():
        for (n, size), cell in table.cells.items():
            place = {"protocol": table.view.protocol, "cell": table.view.cell, "metric": table.metric}
            yield fixed[n] | place | {"support": "" if size is None else size} | _value(comparison, table, cell)


def _fixed(comparison: Comparison, n: int, entry: Entry) -> dict[str, Any]:
    """Return what all lines of an entry share."""
    runs = [run for number in entry.groups for run in comparison.groups[number].runs]
    first = comparison.groups[entry.groups[0]].runs
    # Of what several groups share the cost of one method stands alone; that of a run is a group's.
    spent = cost.cost(first) if len(entry.groups) == 1 else {}
    alone = cost.method_cost(first, entry.method)
    return {
        "name": spoken(dict.fromkeys(run.summary["name"] for run in runs)),
        "dataset": spoken(dict.fromkeys(run.summary["dataset"] for run in runs)),
        "synthetic": any(run.summary["synthetic"] for run in runs),
        "setting": setting(runs),
        "group": entry.where,
        "method": entry.method,
        "chosen": n in comparison.chosen,
        "runs": len(first),
        "seeds": len({seed_of(run) for run in first}),
        "validation": comparison.validation.get(n, ""),
        **{field: amount.value for field, amount in spent.items()},
        **{f"method_{key}": amount.value for key, amount in alone.items()},
        "run_ids": " ".join(run.name for run in runs),
        **{key: value for key, value in entry.keys.items() if key not in FIELDS},
    }


def _value(comparison: Comparison, table: Table, cell: Cell) -> dict[str, Any]:
    """Return a cell's own fields."""
    found: dict[str, Any] = {
        "value": _or_empty(cell.found.value), "ci95": _or_empty(cell.found.ci95), "n": cell.found.tasks,
        "best": cell.best, "not_worse_than_best": cell.best or cell.near,
        "significance": WORDS[cell.against(table.metric)],
    }  # fmt: skip
    if cell.reference:
        pair = cell.reference
        found |= {"difference": _or_empty(pair.found.value), "difference_ci95": _or_empty(pair.found.ci95),
                  "p": _or_empty(pair.found.p), "p_holm": _or_empty(pair.corrected),
                  "against": comparison.entries[pair.to].method}  # fmt: skip
    if cell.leader:
        found |= {"difference_to_best": _or_empty(cell.leader.found.value),
                  "difference_to_best_ci95": _or_empty(cell.leader.found.ci95),
                  "p_holm_to_best": _or_empty(cell.leader.corrected)}  # fmt: skip
    return found


def _or_empty(value: float) -> float | str:
    """Return a finite value, or nothing."""
    known = finite(value)
    return "" if known is None else known
