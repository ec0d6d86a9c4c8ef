"""Columns as numbers: standardised, categories one by one, holes marked; all of it learned from training rows alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Table = NDArray[np.float64]


@dataclass(frozen=True)
class Encoding:
    """How the columns of a table are read."""

    middle: NDArray[np.float64]  # (F,) mean of training rows
    spread: NDArray[np.float64]  # (F,) standard deviation, 1 where a column is constant
    holes: NDArray[np.bool_]  # (F,) whether training rows have holes in a column
    values: dict[int, list[float]]  # of a column of categories: those that training rows have

    def __call__(self, table: Table) -> NDArray[np.float32]:
        """Return rows (N, D): a hole or a category that training never saw is 0 everywhere, and 1 in its mark."""
        parts = []
        for column in range(table.shape[1]):
            given = table[:, column]
            if column in self.values:
                parts.append((given[:, None] == np.array(self.values[column])).astype(np.float32))
            else:
                scaled = (given - self.middle[column]) / self.spread[column]
                parts.append(np.nan_to_num(scaled, nan=0.0)[:, None].astype(np.float32))
            if self.holes[column]:
                parts.append(np.isnan(given)[:, None].astype(np.float32))
        return np.hstack(parts)

    def plain(self) -> dict[str, Any]:
        """Return it as plain values and tensors."""
        arrays = {name: torch.from_numpy(getattr(self, name)) for name in ("middle", "spread", "holes")}
        return {**arrays, "values": self.values}

    @classmethod
    def of(cls, plain: dict[str, Any]) -> Encoding:
        """Return the encoding from what `plain` returned."""
        arrays = {name: plain[name].numpy() for name in ("middle", "spread", "holes")}
        return cls(**arrays, values=plain["values"])


def learn(table: Table, categories: Sequence[int]) -> Encoding:
    """Return the encoding of training rows (N, F) with nan for holes; categories: the columns of categories."""
    values = {column: sorted(set(table[~np.isnan(table[:, column]), column].tolist())) for column in categories}
    there = ~np.isnan(table)
    count = np.maximum(there.sum(0), 1)
    middle = np.where(there, table, 0.0).sum(0) / count
    spread = np.sqrt(np.where(there, (table - middle) ** 2, 0.0).sum(0) / count)
    return Encoding(middle, np.where(spread > 1e-12, spread, 1.0), np.asarray(~there.all(0)), values)
