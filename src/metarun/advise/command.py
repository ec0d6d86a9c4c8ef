"""What the verb advise prints: one table, one paragraph, one command."""

from __future__ import annotations

import re
import shlex
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from metarun import terminal
from metarun.advise.candidates import base, entered
from metarun.advise.tournament import Entry, hold
from metarun.errors import MetarunError
from metarun.metrics.interval import quantile
from metarun.report.notation import label

UNITS = {"s": 1, "m": 60, "h": 3600}
SHOWN = 12


def advise(dataset: str, words: Sequence[str], budget: str) -> None:
    """Hold the tournament and print what came of it. Raises MetarunError for what cannot be composed."""
    limit, began = seconds(budget), time.monotonic()
    typed = [*base(dataset), *words]
    candidates = entered(typed)
    print(f"up to {len(candidates)} candidates within {budget}", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        entries, judge = hold(candidates, Path(folder), began + limit, lambda line: print(line, file=sys.stderr))
    show(entries, judge)
    print(told(entries, judge, time.monotonic() - began))
    print("run it, with its test: metarun " + shlex.join([*entries[0].candidate.words]))


def seconds(budget: str) -> float:
    """Return a time in seconds. Raises MetarunError where it is none.

    >>> seconds("10m"), seconds("45s")
    (600.0, 45.0)
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", budget)
    if not found or float(found[1]) <= 0:
        raise MetarunError(f"--budget {budget}: give a time such as 45s, 10m or 2h")
    return float(found[1]) * UNITS[found[2]]


def interval(values: Any) -> float:
    """Return half the 95 % interval of a mean over tasks."""
    return float(quantile(len(values)) * values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else float("nan")


def show(entries: Sequence[Entry], judge: Any) -> None:
    """Print the table, the winner first."""
    console, grid = terminal.console(), Table(box=None, pad_edge=False)
    for name, justify in (("", "left"), ("round", "right"), (f"{label(judge.metric)}", "right"), ("seconds", "right")):
        grid.add_column(name, justify=justify)  # type: ignore[arg-type]
    played = [entry for entry in entries if entry.round]
    for entry in played[:SHOWN]:
        value = f"{judge.sign * entry.value:.3f} ±{interval(entry.values):.3f}"
        grid.add_row(entry.candidate.name, str(entry.round), value, f"{entry.seconds:.1f}")
    console.print(grid)
    idle = len(entries) - len(played)
    if len(played) > SHOWN:
        console.print(f"and {len(played) - SHOWN} more that left in round 1")
    if idle:
        console.print(f"{idle} of {len(entries)} had no turn within the budget: a larger --budget tries them")


def told(entries: Sequence[Entry], judge: Any, took: float) -> str:
    """Return the paragraph."""
    best = entries[0]
    rivals = [entry for entry in entries[1:] if entry.round == best.round]
    text = (
        f"Take {best.candidate.name}: validation {judge.metric} {judge.sign * best.value:.3f} "
        f"± {interval(best.values):.3f} over {len(best.values)} tasks."
    )
    if rivals:
        gap = rivals[0].values - best.values
        half = interval(gap)
        text += f" The next, {rivals[0].candidate.name}, is {gap.mean():.3f} ± {half:.3f} behind"
        alike = [
            entry for entry in rivals if (entry.values - best.values).mean() <= interval(entry.values - best.values)
        ]
        text += f", which {'excludes' if gap.mean() > half else 'does not exclude'} no difference."
        quick = min([best, *alike], key=lambda entry: entry.seconds)
        if quick is not best and quick.seconds < 0.5 * best.seconds:
            text += f" {quick.candidate.name} is not worse for sure, in {quick.seconds / best.seconds:.0%} of the time."
    left = [e for e in entries if e.round]
    return (
        text + f" {len(left)} candidates in {took:.0f} s; no test task was read. Choosing among many flatters the best."
    )
