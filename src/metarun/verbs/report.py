"""`metarun report`: one table over any number of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    runs: Annotated[
        list[str],
        typer.Argument(
            help="run folders, `latest`, names of experiments, or the first digits of run ids", metavar="RUN..."
        ),
    ],
    csv: Annotated[Path | None, typer.Option("--csv", help="also write the rows to this file")] = None,
    outputs: Annotated[Path, typer.Option("--outputs", help="where runs are looked for")] = Path("outputs"),
) -> None:
    """Compare runs: one table, and its rows as CSV."""
    from metarun import report as reports

    reports.report(reports.find_runs(runs, outputs), csv)
