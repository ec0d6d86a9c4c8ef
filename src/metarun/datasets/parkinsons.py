"""Parkinson's disease over the telephone as a dataset of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from metarun.data.labelled import LabelledRows
from metarun.data.table_data import TableData
from metarun.data.tables import medical


class Parkinsons(TableData):
    """5,875 recordings of 42 patients over half a year, with a score of their illness; a patient is a task."""

    kind = "patient"

    def __init__(self, folder: str | None, score: str, **view: Any) -> None:
        """score: what is predicted, see `medical.SCORES`; view: what every set of groups is asked for."""
        super().__init__(**view)
        self.folder, self.score, self.target = Path(folder) if folder else None, score, score

    def read(self) -> LabelledRows:
        """Return the recordings."""
        rows, self.columns = medical.parkinsons(self.folder, self.score)
        return rows
