"""The user's own ratings, or their implicit feedback, as a dataset of runs."""

from __future__ import annotations

import sys
from typing import Any

from metarun.data import own_ratings
from metarun.data.own import Description
from metarun.data.ratings import Ratings, unknown_times
from metarun.data.recommendation import Recommendation
from metarun.errors import MetarunError


class RatingsCsv(Recommendation):
    """A file of interactions, with or without tables of items and users."""

    larger = "give more rows in dataset.path"

    def __init__(
        self,
        path: str,
        user: str,
        item: str,
        rating: str | None,
        time: str | None,
        event: str | None,
        events: dict[str, float] | None,
        repeats: str,
        scale: list[float] | None,
        items: str | None,
        item_id: str,
        title: str | None,
        text_columns: list[str],
        text: str,
        text_width: int,
        users: str | None,
        user_id: str,
        columns: list[str] | None,
        separator: str,
        encoding: str,
        **view: Any,
    ) -> None:
        """view: what every table of ratings is asked for, see `Recommendation`; the rest see `Description`."""
        super().__init__(**view)
        self.given = Description(
            path=path, user=user, item=item, rating=rating, time=time, event=event, events=events, repeats=repeats,
            scale=scale, items=items, item_id=item_id, title=title, text_columns=text_columns, text=text,
            text_width=text_width, users=users, user_id=user_id, columns=columns, separator=separator,
            encoding=encoding,
        )  # fmt: skip

    def read(self) -> Ratings:
        """Return the ratings; what was found out about the files is printed.

        Raises:
            MetarunError: wrong files, or feedback that the objective or the split cannot use.
        """
        found = own_ratings.read(self.given)
        print("\n  ".join([f"read {self.given.file}", *found.notes]), file=sys.stderr)
        ratings = found.ratings
        implicit = ratings.feedback == "implicit"
        if implicit and not self.negatives:
            raise MetarunError(
                f"{ratings.name} is implicit feedback, so there is no rating to predict: use objective=ranking "
                "(metarun +experiment=ratings_topn), or name the column of ratings, dataset.rating=COLUMN"
            )
        if not implicit and self.negatives and self.positive is None:
            low, high, _ = ratings.scale
            raise MetarunError(
                f"{ratings.name} has ratings from {low:g} to {high:g}, but objective=ranking learns from interactions: "
                "set dataset.positive to the rating from which a row is one"
            )
        unknown = unknown_times(ratings)
        if unknown and self.split in ("time", "stream"):
            raise MetarunError(
                f"dataset.split={self.split} needs a time for every row, but {unknown:,} of {len(ratings.time):,} in "
                f"{ratings.name} have none; name their column, dataset.time=COLUMN, or use dataset.split=cold"
            )
        return ratings
