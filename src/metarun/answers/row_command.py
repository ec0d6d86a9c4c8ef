"""What the verbs predict and explain do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metarun import terminal
from metarun.answers import rows, written
from metarun.answers.rows import Prediction
from metarun.report.notation import short

SHOWN = 20
"""Rows on the screen at most."""


def predict(run: str, outputs: Path, support: Path | None, query: Path, out: Path | None) -> None:
    """Print or write predictions. Raises MetarunError for whatever cannot be answered."""
    if out is not None:
        written.check(out)
    found = rows.load(run, outputs).predict(support, query)
    finish(columns(found), found, out, "prediction")


def explain(run: str, outputs: Path, support: Path, query: Path, k: int, out: Path | None) -> None:
    """Print or write, for each query row, the support rows whose absence moves its prediction most."""
    if out is not None:
        written.check(out)
    found, change = rows.load(run, outputs).explain(support, query)
    order = np.argsort(-np.abs(change), 1, kind="stable")[:, :k]
    lines: dict[str, list[Any]] = {"row": [], "predicted": [], "support_row": [], "change": []}
    for number, best in enumerate(order):
        for place in best:
            values = (number + 1, found.label[number], int(place) + 1, float(change[number, place]))
            for name, value in zip(lines, values, strict=True):
                lines[name].append(value)
    finish(lines, found, out, "reason")


def columns(found: Prediction) -> dict[str, Sequence[Any]]:
    """Return predictions as columns: the row (from 1), what is predicted, how likely each class is, the truth."""
    chances = {f"p({name})": found.chance[:, place].tolist() for place, name in enumerate(found.classes)}
    truth = {} if found.truth is None else {"truth": found.truth.tolist()}
    return {"row": list(range(1, len(found.label) + 1)), "predicted": found.label.tolist(), **chances, **truth}


def finish(table: Mapping[str, Sequence[Any]], found: Prediction, out: Path | None, what: str) -> None:
    """Write a table, or print its first rows, and compare with the truth where it is known."""
    number = len(table["row"])
    if out is not None:
        written.write(out, table)
        print(f"{number:,} {what}{'s' if number != 1 else ''} in {out}")
    else:
        show(table, number)
    if found.truth is not None:
        if found.classes:
            right = float(np.mean(found.label == found.truth))
            print(f"accuracy {short(right)} on the {len(found.truth):,} rows whose label the query has")
        else:
            error = float(np.abs(found.label - found.truth).mean())
            print(f"mean absolute error {error:.4g} on the {len(found.truth):,} rows whose label the query has")


def show(table: Mapping[str, Sequence[Any]], number: int) -> None:
    """Print the first rows."""
    from rich.table import Table

    console = terminal.console()
    grid = Table(box=None, pad_edge=False)
    for name in table:
        grid.add_column(name, justify="left" if name in ("predicted", "truth") else "right")
    for row in list(zip(*table.values(), strict=True))[:SHOWN]:
        grid.add_row(*(f"{value:.3f}" if isinstance(value, float) else str(value) for value in row))
    console.print(grid)
    if number > SHOWN:
        console.print(f"{number - SHOWN:,} more rows: --out FILE writes them all")
