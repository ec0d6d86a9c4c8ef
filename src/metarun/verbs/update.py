"""`metarun update`: ratings that came after training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def update(
    run: Annotated[str, typer.Argument(help="a run's folder, `latest`, an experiment, a run id, or a saved file")],
    ratings: Annotated[Path, typer.Option("--ratings", help="CSV or Parquet, columns user,item,rating[,timestamp]")],
    items: Annotated[Path | None, typer.Option("--items", help="titles of new items, columns item,title")] = None,
    at_least: Annotated[int, typer.Option("--at-least", help="ratings that a new item needs", min=1)] = 5,
    outputs: Annotated[Path, typer.Option("--outputs", help="where runs are looked for")] = Path("outputs"),
) -> None:
    """Take in new ratings without retraining: people become known, new items can be recommended."""
    from metarun.answers import command

    command.update(run, outputs, ratings, items, at_least)
