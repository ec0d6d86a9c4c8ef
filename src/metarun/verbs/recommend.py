"""`metarun recommend`: what a person would like, from what they rated."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EXAMPLE = "a file with the columns item,rating: ids or titles, and how much you liked each"


def recommend(
    run: Annotated[str, typer.Argument(help="a run's folder, `latest`, an experiment, a run id, or a saved file")],
    ratings: Annotated[Path | None, typer.Option("--ratings", help=f"one person: {EXAMPLE}")] = None,
    user: Annotated[str | None, typer.Option("--user", help="one person known through metarun update, by id")] = None,
    users: Annotated[
        Path | None, typer.Option("--users", help="many people: CSV or Parquet, columns user,item,rating[,timestamp]")
    ] = None,
    k: Annotated[int, typer.Option("-k", help="how many items", min=1)] = 20,
    candidates: Annotated[
        list[str] | None, typer.Option(help="only these: a file with a column item, or ids: 1,260,1210; repeatable")
    ] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="none of these: as candidates")] = None,
    min_ratings: Annotated[
        int | None,
        typer.Option(help="leave out items with fewer ratings in training [10; rankings, candidates: 0]", min=0),
    ] = None,
    about: Annotated[list[str] | None, typer.Option(help="what is known, as gender=F; repeatable")] = None,
    explain: Annotated[bool, typer.Option(help="say which rated items moved each recommendation most")] = True,
    out: Annotated[Path | None, typer.Option("--out", help="write to this file: .csv, .json or .parquet")] = None,
    outputs: Annotated[Path, typer.Option("--outputs", help="where runs are looked for")] = Path("outputs"),
) -> None:
    """Recommend items to a person, or to everybody in a file."""
    from metarun.answers import command

    asked = command.Asked(k, candidates, exclude, about, min_ratings, explain, out)
    command.recommend(run, outputs, ratings, user, users, asked)
