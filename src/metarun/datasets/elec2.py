"""Elec2 as a dataset of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from metarun.data.streamed import Rows, Streamed
from metarun.data.streams import elec2


class Elec2(Streamed):
    """45,312 half hours of the market of New South Wales; Harries, "Splice-2 comparative evaluation", 1999."""

    def __init__(self, folder: str | None, **view: Any) -> None:
        """view: what every stream is asked for."""
        super().__init__(**view)
        self.folder = Path(folder) if folder else None

    def read(self) -> Rows:
        """Return the rows."""
        return elec2.read(self.folder)
