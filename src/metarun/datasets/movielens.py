"""MovieLens as a dataset of runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metarun.data import movielens
from metarun.data.content import DEFAULT, check, with_content
from metarun.data.ratings import Ratings
from metarun.data.recommendation import Recommendation


class MovieLens(Recommendation):
    """MovieLens, any version; Harper and Konstan, "The MovieLens datasets", ACM TiiS 2015."""

    def __init__(
        self,
        version: str,
        folder: str | None,
        users: str | None,
        content: Sequence[str] = DEFAULT,
        text: str = "tfidf",
        text_width: int = 64,
        **view: Any,
    ) -> None:
        """content, text, text_width: see `with_content`; view: what every table of ratings is asked for."""
        super().__init__(**view)
        check(content)
        self.version, self.folder, self.users = version, Path(folder) if folder else None, users
        self.content, self.text, self.text_width = content, text, text_width

    def read(self) -> Ratings:
        """Return the ratings of the version, with the content asked for."""
        found = movielens.read(self.version, self.folder, None, self.users)
        folder = self.folder or movielens.default_folder()
        return with_content(found, self.content, self.text, self.text_width, self.split_seed, folder)
