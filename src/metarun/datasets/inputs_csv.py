"""The user's own rows of several inputs as a dataset of runs."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metarun.data import own_inputs
from metarun.data.grouped import WHOLE
from metarun.data.labelled import LabelledRows, assemble
from metarun.data.named_inputs import CLIP, IMAGE, NUMBERS, NamedInputs
from metarun.data.own_inputs import Form, Found, as_bytes
from metarun.errors import MetarunError


class InputsCsv(NamedInputs):
    """A table whose columns name image files and sound files or hold numbers, any field of which may be empty.

    All columns of numbers are one input, "numbers".
    """

    def __init__(
        self,
        path: str | None,
        label: str,
        group: str | None,
        images: list[str],
        clips: list[str],
        numbers: list[str],
        side: int,
        channels: int,
        rate: int,
        seconds: float,
        bands: int,
        separator: str,
        encoding: str,
        columns: list[str] | None,
        **view: Any,
    ) -> None:
        """label, group: columns; images, clips, numbers: columns of each kind; view: see `NamedInputs`.

        Raises:
            MetarunError: no column is an input.
        """
        self.kinds = dict.fromkeys(images, IMAGE) | dict.fromkeys(clips, CLIP)
        self.kinds |= {NUMBERS: NUMBERS} if numbers else {}
        if not self.kinds:
            raise MetarunError(
                "dataset=inputs_csv: name columns: dataset.images=[COLUMN], dataset.clips=, dataset.numbers="
            )
        super().__init__(**view)
        self.path, self.named = path, (label, group)
        self.form = Form(images, clips, numbers, side, channels, rate, round(seconds * rate), bands)
        self.text = {"separator": separator, "encoding": encoding, "columns": columns}

    @cached_property
    def found(self) -> Found:
        """What the table holds."""
        if not self.path:
            raise MetarunError("dataset=inputs_csv: name your table, dataset.path=FILE")
        return own_inputs.read(Path(self.path).expanduser(), "dataset.path", self.form, *self.named, self.text)

    def read(self) -> LabelledRows:
        """Return the rows."""
        found, assembled = self.found, Path(str(self.path)).stem
        assert found.labels is not None
        classes, label = np.unique(found.labels, return_inverse=True)
        if len(classes) < 2:
            raise MetarunError(
                f"{self.path}: column '{self.named[0]}' (dataset.label) has one value only, '{classes[0]}'"
            )
        groups, group = np.unique(found.groups or [WHOLE] * len(label), return_inverse=True)
        parts = [values.reshape(len(label), -1) for values in found.media.values()]
        parts += (
            [np.ascontiguousarray(found.numbers).view(np.uint8).reshape(len(label), -1)] if self.form.numbers else []
        )
        return assemble(
            f"inputs_csv/{assembled}", np.hstack(parts), label.astype(np.int64), classes.tolist(),
            group.astype(np.int64), groups.tolist(),
        )  # fmt: skip

    @cached_property
    def scale(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and standard deviation (F,) of numbers, of rows that training may look at."""
        known = self.found.numbers[self.seen]
        there = ~np.isnan(known)
        count = np.maximum(there.sum(0), 1)
        middle = np.where(there, known, 0.0).sum(0) / count
        spread = np.sqrt(np.where(there, (known - middle) ** 2, 0.0).sum(0) / count)
        return middle, np.where(spread > 1e-12, spread, 1.0)

    @cached_property
    def values(self) -> dict[str, Tensor]:
        """Each input (N, ...) as bytes."""
        found = {name: torch.from_numpy(values) for name, values in self.found.media.items()}
        if self.form.numbers:
            found[NUMBERS] = torch.from_numpy(as_bytes(self.found.numbers, *self.scale))
        return found

    @property
    def there(self) -> dict[str, Tensor]:
        """Which rows (N,) have each input; numbers are there where one of them is."""
        found = {name: torch.from_numpy(values) for name, values in self.found.there.items()}
        if self.form.numbers:
            found[NUMBERS] = torch.from_numpy(~np.isnan(self.found.numbers).all(1))
        return found

    def reading(self) -> dict[str, Any]:
        """Return how rows of a file become inputs."""
        middle, spread = (torch.from_numpy(values) for values in self.scale) if self.form.numbers else (None, None)
        return {
            "kind": "inputs", "form": list(self.form), "target": self.named[0], "middle": middle, "spread": spread,
            "classes": list(self.table.classes),
        }  # fmt: skip
