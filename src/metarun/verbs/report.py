"""`metarun report`: any number of runs compared, as tables, CSV and one page to forward."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Words = list[str] | None


def report(
    runs: Annotated[
        list[str],
        typer.Argument(
            help="run folders, `latest`, names of experiments, or the first digits of run ids", metavar="RUN..."
        ),
    ],
    html: Annotated[Path | None, typer.Option("--html", help="also write one self-contained page to this file")] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="also write every value to this file")] = None,
    by: Annotated[
        Words,
        typer.Option("--by", metavar="KEY,...", help="what tells groups apart; by default all that differs but seed"),
    ] = None,
    over: Annotated[
        Words, typer.Option("--over", metavar="KEY,...", help="what groups are averaged over beside seed")
    ] = None,
    metric: Annotated[
        Words, typer.Option("--metric", metavar="NAME,...", help="the metrics to print instead of the runs' own")
    ] = None,
    mixed: Annotated[
        bool, typer.Option("--mixed", help="allow runs on different data or splits in one comparison, unpaired")
    ] = False,
    outputs: Annotated[Path, typer.Option("--outputs", help="where runs are looked for")] = Path("outputs"),
) -> None:
    """Compare runs: seeds averaged, paired differences, cost beside quality."""
    from metarun import report as reports

    asked = reports.Asked(_split(by), _split(over), mixed)
    reports.report(reports.find_runs(runs, outputs), csv, html=html, asked=asked, metrics=_split(metric))


def _split(words: Words) -> tuple[str, ...]:
    """Return the words between commas, each once."""
    return tuple(dict.fromkeys(word.strip() for text in words or [] for word in text.split(",") if word.strip()))
