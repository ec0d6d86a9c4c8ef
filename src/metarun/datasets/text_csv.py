"""The user's own texts as a dataset of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from metarun.data import own_texts
from metarun.data.few_shot_text import FewShotText
from metarun.data.labelled import LabelledRows
from metarun.errors import MetarunError


class TextCsv(FewShotText):
    """A table (.csv, .tsv, .txt, also .gz, .parquet or .jsonl) with a text and a label in every row."""

    fewer = "lower it, or change dataset.shares"

    def __init__(
        self,
        path: str | None,
        text: str,
        label: str,
        separator: str,
        encoding: str,
        columns: list[str] | None,
        shares: list[float],
        **view: Any,
    ) -> None:
        """text, label: columns; shares: of the labels, for training, validation and test; view: see `FewShotText`."""
        super().__init__(**view)
        self.path, self.text, self.label, self.shares = path, text, label, shares
        self.how = (separator, encoding, columns)

    def read(self) -> LabelledRows:
        """Return the rows."""
        if not self.path:
            raise MetarunError("dataset=text_csv: name your table, dataset.path=FILE, and its columns, dataset.text=")
        return own_texts.read(Path(self.path).expanduser(), self.text, self.label, *self.how)
