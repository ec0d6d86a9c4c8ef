"""`metarun advise`: which backbone and strategy for this data."""

from __future__ import annotations

from typing import Annotated

import typer


def advise(
    dataset: Annotated[str, typer.Argument(help="a dataset as `metarun list dataset` names it, or an experiment")],
    words: Annotated[list[str] | None, typer.Argument(metavar="[OPTION=VALUE]...", help="as for a run")] = None,
    budget: Annotated[str, typer.Option("--budget", help="time that it may take: 45s, 10m, 2h")] = "10m",
) -> None:
    """Hold a small tournament of backbones and strategies on validation tasks and say which to take."""
    from metarun.advise import command

    command.advise(dataset, words or [], budget)
