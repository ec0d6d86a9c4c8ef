"""`metarun data`: which datasets there are, fetch one, check what lies on the disk, start with files of one's own."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from metarun import terminal
from metarun.errors import MetarunError, did_you_mean

_HELP = "Datasets: list, fetch NAME, check NAME or what is yours, template KIND."
app = typer.Typer(help=_HELP, no_args_is_help=True, rich_markup_mode=None)
_FOLDER = typer.Option("--folder", help="where datasets are; else METARUN_DATA, else ~/.cache/metarun/data")
_NAME = typer.Argument(help="a name as `metarun data list` prints it, such as 1m or omniglot")
_THING = typer.Argument(help="a name such as 1m or omniglot, or with --as a file or folder of your own")
_WORDS = typer.Argument(metavar="[OPTION=VALUE]...", help="with --as: options of the dataset, such as dataset.user=uid")
_AS = typer.Option(
    "--as", help="what yours is: ratings, table, texts, inputs (files), images, clips, speakers (folders)"
)
_KIND = typer.Argument(help="what of: ratings, table, texts, clips, speakers or inputs")
_TO = typer.Option("--to", help="the folder to write into")


@app.command("list")
def names(folder: Annotated[Path | None, _FOLDER] = None) -> None:
    """List the datasets, and which are here."""
    from metarun.data import archive, movielens
    from metarun.verbs import image_data, placed_data

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
    terminal.title(console, "few-shot", f"dataset=NAME; data folder {home}")
    terminal.rows(console, image_data.rows(home))
    terminal.title(console, "placed by hand", f"dataset=NAME; data folder {home}")
    terminal.rows(console, placed_data.rows(home))


@app.command("fetch")
def fetch(name: Annotated[str, _NAME], folder: Annotated[Path | None, _FOLDER] = None) -> None:
    """Download a dataset from its official home into the data folder, checksum verified."""
    from metarun.data import movielens
    from metarun.verbs import image_data

    known = _known(name)
    for path in image_data.fetch(known, folder) if known in image_data.NAMES else [movielens.fetch(known, folder)]:
        print(path)


@app.command("check")
def check(
    name: Annotated[str, _THING],
    words: Annotated[list[str] | None, _WORDS] = None,
    kind: Annotated[str | None, _AS] = None,
    folder: Annotated[Path | None, _FOLDER] = None,
) -> None:
    """Say what is there: counts, sizes, checksum; of what is yours what a run would see in it."""
    found: Iterable[str]
    if kind is not None:
        from metarun.verbs import own_data

        found = own_data.check(name, kind, words or [])
    elif words and _is_known(name):
        raise MetarunError(f"{words[0]}: metarun data check {name} takes no option; with --as what is yours does")
    elif words or Path(name).suffix or (Path(name).exists() and not _is_known(name)):
        what, holds = ("folder", "images") if Path(name).is_dir() else ("file", "ratings")
        again = shlex.join(["metarun", "data", "check", name, "--as", holds, *(words or [])])
        raise MetarunError(f"{name}: names no dataset of `metarun data list`; for a {what} of your own: {again}")
    else:
        from metarun.data import movielens
        from metarun.verbs import image_data

        known = _known(name)
        found = (image_data if known in image_data.NAMES else movielens).check(known, folder)
    for line in found:
        print(line)


@app.command("template")
def template(kind: Annotated[str, _KIND], to: Annotated[Path, _TO] = Path()) -> None:
    """Write an example of files of your own; nothing is overwritten."""
    from metarun.verbs import own_data

    for line in own_data.template(kind, to):
        print(line)


def _known(name: str) -> str:
    """Return a dataset's name, of which movielens/1m, ml-1m and 1m are one. Raises MetarunError if there is none."""
    short, names = _short(name), _names()
    if short not in names:
        raise MetarunError(
            f"There is no MovieLens version '{short}' and no other dataset of that name to fetch or check: "
            f"choose {', '.join(names)}.{did_you_mean(short, names)}"
        )
    return short


def _is_known(name: str) -> bool:
    return _short(name) in _names()


def _short(name: str) -> str:
    return name.removeprefix("movielens/").removeprefix("ml-")


def _names() -> list[str]:
    from metarun.data import movielens
    from metarun.verbs import image_data

    return [*movielens.VERSIONS, "sample", *image_data.NAMES]
