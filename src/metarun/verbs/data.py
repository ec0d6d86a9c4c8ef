"""`metarun data`: which datasets there are, fetch one, check what lies on the disk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metarun import terminal
from metarun.errors import MetarunError

app = typer.Typer(help="Datasets: list, fetch NAME, check NAME.", no_args_is_help=True, rich_markup_mode=None)
_FOLDER = typer.Option("--folder", help="where datasets are; else METARUN_DATA, else ~/.cache/metarun/data")
_NAME = typer.Argument(help="a version as `metarun data list` prints it, such as 1m")


@app.command("list")
def names(folder: Annotated[Path | None, _FOLDER] = None) -> None:
    """List the versions of MovieLens, and which are here."""
    from metarun.data import archive, movielens

    home = folder or movielens.default_folder()
    console = terminal.console()
    terminal.title(console, "movielens", f"dataset.version=NAME; data folder {home}")
    pairs = []
    for name, version in movielens.VERSIONS.items():
        counts = f"{version.ratings:,} ratings, {version.users:,} users, {version.items:,} items"
        try:
            found = archive.find(version, home) if home.is_dir() else None
            place = f"here: {found.path}" if found else f"not here; metarun data fetch {name}"
        except MetarunError as error:
            place = str(error)
        pairs.append((name, f"{counts}; {place}"))
    pairs.append(("sample", "synthetic, generated; always here"))
    terminal.rows(console, pairs)


@app.command("fetch")
def fetch(name: Annotated[str, _NAME], folder: Annotated[Path | None, _FOLDER] = None) -> None:
    """Download a version from its official home into the data folder, checksum verified."""
    from metarun.data import movielens

    print(movielens.fetch(_version(name), folder))


@app.command("check")
def check(name: Annotated[str, _NAME], folder: Annotated[Path | None, _FOLDER] = None) -> None:
    """Say what is there: rows, users, items, scale, timestamps, checksum, and whether the counts are official."""
    from metarun.data import movielens

    for line in movielens.check(_version(name), folder):
        print(line)


def _version(name: str) -> str:
    """Return the version that movielens/1m, ml-1m and 1m name alike."""
    return name.removeprefix("movielens/").removeprefix("ml-")
