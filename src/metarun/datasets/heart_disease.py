"""Heart disease as a dataset of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from metarun.data.labelled import LabelledRows
from metarun.data.table_data import TableData
from metarun.data.tables import medical


class HeartDisease(TableData):
    """920 people of four hospitals, each of which sees other people and leaves other holes; UCI, 1988."""

    target = "diagnosis"
    kind = "hospital"

    def __init__(self, folder: str | None, **view: Any) -> None:
        """view: what every set of groups is asked for."""
        super().__init__(**view)
        self.folder = Path(folder) if folder else None

    def read(self) -> LabelledRows:
        """Return the people."""
        self.columns, self.categories = medical.HEART, medical.HEART_CATEGORIES
        return medical.heart(self.folder)
