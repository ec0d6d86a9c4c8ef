"""`metarun predict`, `explain` and `audit`: what a finished run says of rows of a file, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_RUN = typer.Argument(help="a run's folder, `latest`, an experiment or a run id")
_QUERY = typer.Option("--query", help="rows to be predicted: CSV, TSV or Parquet; labels in it are compared with")
_OUT = typer.Option("--out", help="write to this file: .csv, .json or .parquet")
_OUTPUTS = typer.Option("--outputs", help="where runs are looked for")


def predict(
    run: Annotated[str, _RUN],
    query: Annotated[Path, _QUERY],
    support: Annotated[
        Path | None, typer.Option("--support", help="labelled rows to adapt to, with the same columns and the label")
    ] = None,
    out: Annotated[Path | None, _OUT] = None,
    outputs: Annotated[Path, _OUTPUTS] = Path("outputs"),
) -> None:
    """Adapt a run to labelled rows and predict others."""
    from metarun.answers import row_command

    row_command.predict(run, outputs, support, query, out)


def explain(
    run: Annotated[str, _RUN],
    query: Annotated[Path, _QUERY],
    support: Annotated[Path, typer.Option("--support", help="labelled rows to adapt to, with the label")],
    k: Annotated[int, typer.Option("-k", help="how many support rows to name for each prediction", min=1)] = 3,
    out: Annotated[Path | None, _OUT] = None,
    outputs: Annotated[Path, _OUTPUTS] = Path("outputs"),
) -> None:
    """Say which support rows moved each prediction most: by how much it falls without them."""
    from metarun.answers import row_command

    row_command.explain(run, outputs, support, query, k, out)


def audit(
    run: Annotated[str, _RUN],
    query: Annotated[Path, typer.Option("--query", help="rows with labels, and with the column that tells groups")],
    by: Annotated[str, typer.Option("--by", help="the column that tells groups of people apart, such as sex")],
    support: Annotated[Path | None, typer.Option("--support", help="labelled rows to adapt to")] = None,
    positive: Annotated[str | None, typer.Option("--positive", help="the class that is looked for")] = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="draw how reliable probabilities are: .png, .svg")] = None,
    outputs: Annotated[Path, _OUTPUTS] = Path("outputs"),
) -> None:
    """Compare errors between groups of people, before and after adapting, and see whether probabilities hold."""
    from metarun.answers import audit_command

    audit_command.audit(run, outputs, support, query, by, positive, plot)
