"""The ratings of everybody as one stream in the order of time."""

from __future__ import annotations

import numpy as np
import torch

from metarun.data.ratings import Ratings
from metarun.data.split import need_times
from metarun.errors import MetarunError
from metarun.rule import Batch

ROWS = 2000  # of a step: what is between two looks at the clock, without any bearing on what is learned


class WholeStream:
    """All rows by time; rows of the same second by user, and those of one user in the order of the file.

    The first `share` of them is what settings are chosen on; the rest is scored, in `blocks` equal blocks.
    """

    def __init__(self, ratings: Ratings, share: float, blocks: int, steps: int | None = None) -> None:
        """Raise MetarunError where a row has no time, or nothing is left to score; steps: cut short after so many."""
        need_times("stream", ratings)
        total = len(ratings.user) if steps is None else min(len(ratings.user), steps * ROWS)
        self.opening = int(share * total)
        if total - self.opening < blocks:
            raise MetarunError(
                f"evaluate.stream_start={share:g} leaves {total - self.opening} of {total} ratings of {ratings.name} "
                f"to score in evaluate.stream_blocks={blocks}: lower one of them"
            )
        # The rows come by user, time and the order of the file, and a stable sort keeps that where times are equal.
        order = torch.from_numpy(np.argsort(ratings.time, kind="stable")[:total])
        self.user, self.item, self.value = (
            torch.from_numpy(column).index_select(0, order) for column in (ratings.user, ratings.item, ratings.value)
        )
        self.edges = torch.linspace(self.opening, total, blocks + 1, dtype=torch.float64).round().long()
        self.first = [*range(0, self.opening, ROWS), *range(self.opening, total, ROWS), total]

    def __len__(self) -> int:
        """Number of steps; none lies on both sides of the first row that is scored."""
        return len(self.first) - 1

    def batch(self, step: int) -> tuple[int, Batch]:
        """Return the place in the stream of a step's first row, and its rows."""
        rows = slice(self.first[step], self.first[step + 1])
        x = {"user": self.user[rows].long(), "item": self.item[rows].long()}
        exists = torch.ones(rows.stop - rows.start)
        return rows.start, Batch(x, self.value[rows], exists, exists, torch.zeros((), dtype=torch.int64))

    def block(self, first: int, rows: int) -> torch.Tensor:
        """Return which block (rows,) each row from place `first` on lies in, counted from 1; 0 is not scored."""
        return torch.bucketize(torch.arange(first, first + rows), self.edges[:-1], right=True)
