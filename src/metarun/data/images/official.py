"""Where official files of images are, and how they are had when they are not there."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from metarun.data import download
from metarun.data.movielens import default_folder
from metarun.errors import MetarunError


@dataclass(frozen=True)
class Official:
    """A file at its official home, and the folder inside the data folder that it belongs into."""

    folder: str
    url: str
    md5: str

    @property
    def name(self) -> str:
        """The file's name."""
        return self.url.rsplit("/", 1)[1]


def data_folder(folder: Path | None) -> Path:
    """Return the folder of datasets: the one given, or METARUN_DATA, or one in the user's cache folder.

    Raises:
        MetarunError: it was named and does not exist.
    """
    place = folder or default_folder()
    if (folder is not None or os.environ.get("METARUN_DATA")) and not place.is_dir():
        option = "paths.data" if folder is not None else "METARUN_DATA"
        raise MetarunError(f"The data folder {place} does not exist: create it, or change {option}.")
    return place


def fetch(official: Official, dataset: str, home: Path) -> Path:
    """Download a file into the data folder `home` and return where it is.

    Raises:
        MetarunError: no network, a wrong checksum, a folder that cannot be written; it says how to place it by hand.
    """
    target = home / official.folder / official.name
    try:
        return download.download(official.url, target, official.md5)
    except MetarunError as error:
        raise MetarunError(
            f"{dataset}: {official.name} is not there, and {error} To place it by hand: download {official.url} "
            f"and put it into {target.parent}, "
            f"or set METARUN_DATA to the folder that has {official.folder}/{official.name}."
        ) from error
