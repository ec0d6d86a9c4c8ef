"""What the user says about files of their own, field by field as in conf/dataset/ratings_csv.yaml."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Description:
    """A file of interactions, the tables of items and users beside it, and how they are to be read."""

    path: str = "ratings.csv"
    user: str = "auto"  # columns: a name, "auto" for the usual ones, None for none
    item: str = "auto"
    rating: str | None = "auto"
    time: str | None = "auto"
    event: str | None = "auto"
    events: Mapping[str, float] | None = None  # type -> weight; 0 leaves the type out
    repeats: str = "sum"  # sum | max: what several events of the same user and item weigh
    scale: list[float] | None = None  # lowest, highest, step
    items: str | None = None
    item_id: str = "auto"
    title: str | None = "auto"
    text_columns: Sequence[str] = ()
    text: str = "tfidf"  # tfidf | hashing
    text_width: int = 64
    users: str | None = None
    user_id: str = "auto"
    columns: list[str] | None = None  # names where the file has no header
    separator: str = "auto"
    encoding: str = "utf-8"

    @staticmethod
    def file_of(name: str) -> Path:
        """Return the file that a field names."""
        return Path(name).expanduser()

    @property
    def file(self) -> Path:
        """The file of interactions."""
        return self.file_of(self.path)
