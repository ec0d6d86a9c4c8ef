"""MovieLens as a dataset of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from metarun.data import movielens
from metarun.data.ratings import Ratings
from metarun.data.recommendation import Recommendation


class MovieLens(Recommendation):
    """MovieLens, any version; Harper and Konstan, "The MovieLens datasets", ACM TiiS 2015."""

    def __init__(self, version: str, folder: str | None, users: str | None, **view: Any) -> None:
        """view: what every table of ratings is asked for, see `Recommendation`."""
        super().__init__(**view)
        self.version, self.folder, self.users = version, Path(folder) if folder else None, users

    def read(self) -> Ratings:
        """Return the ratings of the version."""
        return movielens.read(self.version, self.folder, None, self.users)
