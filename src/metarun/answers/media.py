"""From files that name clips or images, or hold texts, to what a run on them reads."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metarun.answers.reading import PLAIN, Reader, Rows
from metarun.data import own_inputs
from metarun.data.named import packed
from metarun.data.named_files import pictures, sounds, spelled
from metarun.data.named_inputs import NUMBERS
from metarun.data.tabular import ID, PARQUET, WORDS, Table, open_table
from metarun.data.tokens import Vocabulary, padded
from metarun.errors import MetarunError, did_you_mean

Told = dict[str, Any]
COLUMN = {"clips": "file", "images": "file", "texts": "text"}
"""The column of a file that says what a row is, for each kind."""


class MediaReader:
    """Reads support and query files of one run; `told`: what its dataset said of how files become inputs.

    A file is a table with the column `file` (paths beside it) or `text`, and the column `label` where labels are known;
    of images also one without `file`, with a column for each pixel.
    """

    unit = (0.0, 1.0)

    def __init__(self, told: Told) -> None:
        self.told, self.kind = told, str(told["kind"])
        self.classes: list[str] = list(told["classes"])

    def read(self, path: Path, option: str, labelled: bool) -> Rows:
        """Return the rows of a file; labelled: it must have labels.

        Raises:
            MetarunError: a file or a column that is not there, an empty file, what cannot be read, with its line.
        """
        if self.kind == "inputs":
            return self.inputs(path, option, labelled)
        column = COLUMN[self.kind]
        table = open_table(path, option, "comma" if alone(path, column) else "auto", "utf-8", None)
        if self.kind == "images" and column not in table.names:  # pixels as columns
            return Reader(None, prod(self.told["shape"]), True).read(path, option, labelled)
        for name in [column, *([PLAIN] if labelled else [])]:
            if name not in table.names:
                raise MetarunError(
                    f"{option} {path}: has no column '{name}', which a run on {self.kind} reads."
                    f"{did_you_mean(name, table.names)} It has {', '.join(table.names)}"
                )
        kinds = {column: WORDS, **({PLAIN: ID} if PLAIN in table.names else {})}
        found: dict[str, list[str]] = {name: [] for name in kinds}
        for chunk in table.chunks(kinds):
            for name in kinds:
                found[name] += [spelled(value) for value in chunk[name]]
        if not found[column]:
            raise MetarunError(f"{option} {path}: has a header, but no rows")
        for name, values in found.items():
            if "" in values:
                raise MetarunError(f"{path} {table.place(values.index(''))}: column '{name}' is empty: fill it in")
        if PLAIN in found:
            self.check(table, found[PLAIN])
        return Rows(self.values(table, column, found[column]), found.get(PLAIN))

    def values(self, table: Table, column: str, given: Sequence[str]) -> Tensor:
        """Return what the model reads (N, ...) of a column that names files or holds texts."""
        told = self.told
        if self.kind == "texts":
            return padded(Vocabulary.of(told["vocabulary"]).numbers(given), int(told["length"]))
        if self.kind == "clips":
            return torch.from_numpy(sounds(table, column, given, told["rate"], told["samples"], told["bands"]))
        return torch.from_numpy(pictures(table, column, given, tuple(told["shape"])))

    def inputs(self, path: Path, option: str, labelled: bool) -> Rows:
        """Return rows of several inputs; a label is read where there is a column of it."""
        form, target = own_inputs.Form(*self.told["form"]), self.told["target"]
        has = target in open_table(path, option, "auto", "utf-8", None).names
        text = {"separator": "auto", "encoding": "utf-8", "columns": None}
        found = own_inputs.read(path, option, form, target if has or labelled else None, None, text)
        if found.labels is not None:
            self.check(open_table(path, option, "auto", "utf-8", None), found.labels, target)
        values = {name: torch.from_numpy(part) for name, part in found.media.items()}
        there = {name: torch.from_numpy(part) for name, part in found.there.items()}
        if form.numbers:
            scale = (self.told[name].numpy() for name in ("middle", "spread"))
            values[NUMBERS] = torch.from_numpy(own_inputs.as_bytes(found.numbers, *scale))
            there[NUMBERS] = torch.from_numpy(~np.isnan(found.numbers).all(1))
        return Rows(packed(values, there), found.labels)

    def check(self, table: Table, labels: Sequence[str], target: str = PLAIN) -> None:
        """Raise MetarunError for a label that training never had, where labels mean the same."""
        for row, name in enumerate(labels if self.classes else ()):
            if name not in self.classes:
                raise MetarunError(
                    f"{table.path} {table.place(row)}: column '{target}' has '{name}', and the classes of the run are "
                    f"{', '.join(self.classes)}.{did_you_mean(name, self.classes)}"
                )


def alone(path: Path, column: str) -> bool:
    """Return whether a file of text has this one column, so that no separator tells itself."""
    if not path.is_file() or path.suffix in (".gz", *PARQUET):
        return False
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        return file.readline().strip() == column
