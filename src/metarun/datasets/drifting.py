"""Streams of known concepts as a dataset of runs."""

from __future__ import annotations

from typing import Any

from metarun.data.streamed import Rows, Streamed
from metarun.data.streams.drifting import generate


class Drifting(Streamed):
    """Generated rows, so that where the concept changes is known."""

    def __init__(
        self, drift: str, rows: int, features: int, every: int, width: int, concepts: int, noise: float, **view: Any
    ) -> None:
        """See `generate`; view: what every stream is asked for."""
        super().__init__(**view)
        self.made = (drift, rows, features, every, width, concepts, noise)

    def read(self) -> Rows:
        """Return the rows."""
        return generate(*self.made, seed=self.split_seed)
