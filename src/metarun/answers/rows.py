"""A finished run that answers for rows of a file: adapts to the labelled ones, predicts others, says why."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metarun.answers import arrays
from metarun.answers.arrays import Adapted
from metarun.answers.media import MediaReader
from metarun.answers.reading import Reader, Rows
from metarun.errors import MetarunError


class Prediction(NamedTuple):
    """What is predicted of query rows."""

    label: NDArray[Any]  # (Q,) names of classes, or numbers in their own units
    chance: NDArray[np.float64]  # (Q, C) probabilities; (Q, 0) of numbers
    classes: list[str]
    truth: NDArray[Any] | None  # (Q,) where the query has labels


class RowAnswers:
    """What a run on arrays, clips, images or texts has learned, ready to adapt to rows of files."""

    def __init__(self, found: Adapted) -> None:
        self.found, self.classifies = found, found.classifies
        told = found.reading
        if found.shared and told is None:
            raise MetarunError(f"{found.name} reads several inputs at once, which no file of rows holds yet")
        media = told is not None and "kind" in told
        self.reader: Reader | MediaReader = (
            MediaReader(told) if told and media else Reader(told, int(np.prod(found.shape)), found.classifies)
        )

    def __repr__(self) -> str:
        """Return what it is in one line."""
        return f"RowAnswers({self.found.name}: {' x '.join(map(str, self.found.shape))} numbers a row)"

    def rows(self, support: str | Path | None, query: str | Path) -> tuple[Rows, Rows, list[str]]:
        """Return labelled rows, rows to be asked about, and the classes.

        Raises:
            MetarunError: as `Reader.read`; no support where the run knows no classes; too many classes.
        """
        asked = self.reader.read(Path(query).expanduser(), "--query", labelled=False)
        if support is not None:
            given = self.reader.read(Path(support).expanduser(), "--support", labelled=True)
        elif self.found.shared:
            given = Rows(asked.x[:0], [] if self.classifies else np.zeros(0))
        else:
            raise MetarunError(f"predict: {self.found.name} adapts to new classes: give labelled rows, --support FILE")
        classes = (self.reader.classes or sorted(set(map(str, given.label or ())))) if self.classifies else []
        if self.classifies and len(classes) > self.found.outputs:
            raise MetarunError(
                f"--support {support}: has {len(classes)} classes, and {self.found.name} was trained for at most "
                f"{self.found.outputs}: join some, or train with dataset.ways={len(classes)}"
            )
        strange = sorted(set(map(str, asked.label or ())) - set(classes)) if self.classifies else []
        if strange:
            raise MetarunError(f"--query {query}: '{strange[0]}' is in no row of the support, so it is never predicted")
        return given, asked, classes

    def predict(self, support: str | Path | None, query: str | Path) -> Prediction:
        """Return predictions for the rows of a query file after adapting to those of a support file (None: to none)."""
        given, asked, classes = self.rows(support, query)
        out = self.outputs(given, asked, classes)
        truth = None if asked.label is None else np.asarray(asked.label)
        if not self.classifies:
            mean, spread = self.reader.unit
            return Prediction(out[:, 0].double().numpy() * spread + mean, np.zeros((len(out), 0)), [], truth)
        chance = out.double().softmax(-1).numpy()
        return Prediction(np.asarray(classes)[chance.argmax(1)], chance, classes, truth)

    def outputs(self, given: Rows, asked: Rows, classes: list[str], known: Tensor | None = None) -> Tensor:
        """Return outputs (Q, C); or (S, Q, C) of S supports, of whose rows (N,) `known` (S, N) says which count."""
        x, query = (rows.x.reshape(-1, *self.found.shape) for rows in (given, asked))
        return self.found.outputs_of(x, self.numbers(given, classes), query, len(classes), known)

    def numbers(self, given: Rows, classes: list[str]) -> Tensor:
        """Return labels (N,) as the model has them."""
        assert given.label is not None
        if self.classifies:
            return torch.tensor([classes.index(str(name)) for name in given.label], dtype=torch.int64)
        mean, spread = self.reader.unit
        return torch.from_numpy((np.asarray(given.label, np.float64) - mean) / spread).float()

    def explain(self, support: str | Path, query: str | Path) -> tuple[Prediction, NDArray[np.float64]]:
        """Return the predictions, and by how much each falls (Q, N) when a support row is taken away.

        Of classes the probability of the predicted one, of numbers the number. Exact for every method: the model is
        adapted again without the row; Koh and Liang, "Understanding black-box predictions", ICML 2017, approximate it.
        """
        found = self.predict(support, query)
        given, asked, classes = self.rows(support, query)
        number = len(given.x)
        known = torch.cat([torch.ones(1, number), 1 - torch.eye(number)])
        out = self.outputs(given, asked, classes, known).double()
        if self.classifies:
            chance = out.softmax(-1)
            best = chance[0].argmax(-1)
            value = chance.gather(-1, best.expand(len(out), -1)[..., None])[..., 0]
        else:
            value = out[..., 0] * self.reader.unit[1]
        change: NDArray[np.float64] = (value[:1] - value[1:]).mT.numpy()
        return found, change


def load(run: str | Path, outputs: str | Path = "outputs") -> RowAnswers:
    """Return what a finished run on arrays has learned. Raises MetarunError as `arrays.load`."""
    return RowAnswers(arrays.load(run, outputs, texts=True))
