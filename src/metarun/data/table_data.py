"""Tables as tasks: whoever trains teaches how columns are read."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metarun.data.grouped import Grouped
from metarun.data.tables.encoding import Encoding, learn
from metarun.metrics.regression import mae, mse
from metarun.protocols.labels import Metric, of_one


class TableData(Grouped):
    """Rows of numbers, categories and holes. Numbers to be predicted are standardised, and judged in their units."""

    def __init__(self, label_noise: float, **view: Any) -> None:
        """label_noise: share of the training labels that are another class; of numbers, the spread of what is added."""
        super().__init__(**view)
        self.label_noise = label_noise
        self.columns: list[str] = []
        self.categories: list[int] = []

    target = "label"
    """The column that is predicted, in a file that a finished run is asked about."""
    words: Mapping[str, list[str]] = MappingProxyType({})
    """The texts that the numbers of a column of categories stand for."""

    def reading(self) -> dict[str, Any]:
        """Return how rows of a file become inputs."""
        return {
            "columns": list(self.columns),
            "target": self.target,
            "classes": list(self.table.classes),
            "words": {name: list(texts) for name, texts in self.words.items()},
            "unit": (0.0, 1.0) if self.table.classes else self.unit_of_label,
            "encoding": self.encoding.plain(),
        }

    @property
    def setting(self) -> dict[str, object]:
        """Who tests, the seeds, and how wrong training labels are where they are."""
        return {**super().setting, **({"label_noise": self.label_noise} if self.label_noise else {})}

    @cached_property
    def encoding(self) -> Encoding:
        """How columns are read, by the rows that training may look at."""
        table = self.table.inputs  # read first: it says which columns are categories
        return learn(table[self.seen], self.categories)

    @cached_property
    def inputs(self) -> Tensor:
        """What a model reads of the rows (N, D)."""
        return torch.from_numpy(self.encoding(self.table.inputs))

    @cached_property
    def unit_of_label(self) -> tuple[float, float]:
        """Mean and standard deviation of the numbers to be predicted, of rows that training may look at."""
        known = self.table.label[self.seen].astype(np.float64)
        return float(known.mean()), float(known.std()) or 1.0

    @cached_property
    def label(self) -> Tensor:
        """What is to be predicted, (N,)."""
        draws = np.random.default_rng([self.split_seed, 17])
        if self.table.classes:
            classes, label = len(self.table.classes), self.table.label
            wrong = self.seen & (draws.random(len(label)) < self.label_noise)
            moved = (label + draws.integers(1, max(classes, 2), len(label))) % classes
            return torch.from_numpy(np.where(wrong, moved, label))
        mean, spread = self.unit_of_label
        added = self.label_noise * draws.normal(size=len(self.table.label)) * self.seen
        return torch.from_numpy(((self.table.label - mean) / spread + added).astype(np.float32))

    @property
    def metrics(self) -> dict[str, Metric]:
        """Those of labelled rows; errors of numbers in the units of the table."""
        if self.table.classes:
            return super().metrics
        spread = self.unit_of_label[1]

        def squared(out: Tensor, y: Tensor, mask: Tensor) -> Tensor:
            return mse(out, y, mask) * spread**2

        def absolute(out: Tensor, y: Tensor, mask: Tensor) -> Tensor:
            return mae(out, y, mask) * spread

        return {"squared_error": of_one(squared), "absolute_error": of_one(absolute)}
