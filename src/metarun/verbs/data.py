"""`metarun data`: which datasets there are, fetch one, check what lies on the disk, start with files of one's own."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from metarun import terminal
from metarun.errors import MetarunError

_HELP = "Datasets: list, fetch NAME, check NAME or FILE, template ratings."
app = typer.Typer(help=_HELP, no_args_is_help=True, rich_markup_mode=None)
_FOLDER = typer.Option("--folder", help="where datasets are; else METARUN_DATA, else ~/.cache/metarun/data")
_NAME = typer.Argument(help="a version as `metarun data list` prints it, such as 1m")
_THING = typer.Argument(help="a version such as 1m, or with --as a file of your own")
_WORDS = typer.Argument(metavar="[OPTION=VALUE]...", help="with --as: options of the dataset, such as dataset.user=uid")
_AS = typer.Option("--as", help="what a file of your own holds: ratings")
_KIND = typer.Argument(help="what of: ratings")
_TO = typer.Option("--to", help="the folder to write into")


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
def check(
    name: Annotated[str, _THING],
    words: Annotated[list[str] | None, _WORDS] = None,
    kind: Annotated[str | None, _AS] = None,
    folder: Annotated[Path | None, _FOLDER] = None,
) -> None:
    """Say what is there: rows, users, items, scale, times, checksum; of your own file what a run would see in it."""
    if kind is not None:
        from metarun.verbs import own_data

        found = own_data.check(name, kind, words or [])
    elif words or Path(name).suffix or Path(name).is_file():
        again = shlex.join(["metarun", "data", "check", name, "--as", "ratings", *(words or [])])
        raise MetarunError(f"{name}: names no version of MovieLens; for a file of your own: {again}")
    else:
        from metarun.data import movielens

        found = movielens.check(_version(name), folder)
    for line in found:
        print(line)


@app.command("template")
def template(kind: Annotated[str, _KIND], to: Annotated[Path, _TO] = Path()) -> None:
    """Write an example of files of your own: ratings.csv, items.csv and users.csv; nothing is overwritten."""
    from metarun.verbs import own_data

    for line in own_data.template(kind, to):
        print(line)


def _version(name: str) -> str:
    """Return the version that movielens/1m, ml-1m and 1m name alike."""
    return name.removeprefix("movielens/").removeprefix("ml-")
