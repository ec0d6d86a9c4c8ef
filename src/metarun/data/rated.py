"""What the judge asks of data that are ratings, where other data are episodes (`Episodic`)."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from metarun.protocols.labels import Metric, of_ratings


class Rated:
    """A label is a rating, which means the same in every task, and known users have withheld ones to be ranked."""

    rated = True
    shared_labels = True

    split: str
    split_seed: int
    unit: str
    cold: Any
    supports: list[int]
    queries: int
    ratings: Any
    columns: Any
    tasks: Any
    test_users: Any

    @property
    def setting(self) -> dict[str, object]:
        """The split and its seed."""
        return {"split": self.split, "split_seed": self.split_seed}

    @property
    def metrics(self) -> dict[str, Metric]:
        """Errors of ratings and the order that they give: functions of (outputs, labels, mask) to (T,)."""
        lowest, highest, _ = self.ratings.scale
        return of_ratings(lowest, highest)

    def rows(self, support: int, cell: str | None = None) -> int:
        """Return how many support rows a size stands for: as many."""
        return support

    def labelled(self) -> None:
        """Return nothing: a rating is no class that features could be judged with."""

    def known_context(self) -> dict[str, Tensor]:
        """Return the context of all users, of whom pretraining knows some."""
        return {"features": self.columns.user_features}

    def left_out(self) -> list[str]:
        """Return a line that says how many test users have too few ratings to be judged."""
        if not self.cold or self.split == "melu":  # its tasks have from 13 to 100 ratings, which others have not
            return []
        need, kept, everyone = self.supports[-1] + self.queries, len(self.tasks("test")), self.test_users()
        few = f"{everyone - kept} of {everyone} test {self.unit} have fewer than {need} ratings"
        return [] if kept == everyone else [f"{few} (supports + queries): left out"]
