"""scikit-learn faces of networks that metarun has meta-trained on generated tables; fitting takes no gradient step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from metarun.answers import arrays
from metarun.answers.arrays import Adapted
from metarun.answers.locate import ARRAYS
from metarun.errors import MetarunError
from metarun.in_context.network import Network
from metarun.in_context.runs import network_of
from metarun.in_context.weights import packaged
from metarun.report.runs import find_run
from metarun.strategies.meta.in_context import InContext

ROWS = 256
"""Query rows that are answered at once."""

REMEDIES = {"rows": "fit on a sample", "features": "choose or combine some", "classes": "join some"}


def from_run(run: str | Path, outputs: str | Path, kind: str) -> tuple[Network | Adapted, dict[str, Any]]:
    """Return what a finished run learned to answer with, and its limits; kind: "classifier" or "regressor".

    Raises:
        MetarunError: there is no such run, or it has nothing that answers for plain rows of numbers, or of the kind.
    """
    folder = find_run(str(run), outputs)
    if not (folder / ARRAYS).is_file():
        return network_of(run, outputs, kind)  # says what is wrong
    found = arrays.load(run, outputs)
    if found.of_tables and isinstance(found.rule, InContext):  # of any width
        return network_of(run, outputs, kind)
    if found.shared:
        raise MetarunError(
            f"run={run}: {found.name} knows its own classes and columns, which arrays do not name: metarun.load(run), "
            "or metarun predict"
        )
    if found.classifies != (kind == "classifier"):
        other = "MetaClassifier" if found.classifies else "MetaRegressor"
        raise MetarunError(f"run={run}: {found.name} makes a {other}")
    return found, {"limits": found.limits, "scales": False}


class Reader(BaseEstimator):
    """What both estimators share: limits, the support that fitting keeps, rows answered in parts."""

    kind: str

    def __init__(self, run: str | Path | None = None, outputs: str | Path = "outputs") -> None:
        """run: a finished run's folder, `latest`, an experiment or the start of an id (in outputs); None: packaged."""
        self.run = run
        self.outputs = outputs

    def load(self) -> tuple[Network | Adapted, dict[str, Any]]:
        """Return the network, or the method of a run, and its limits."""
        return packaged(self.kind) if self.run is None else from_run(self.run, self.outputs, self.kind)

    def checked(self, X: ArrayLike, y: ArrayLike, **told: bool) -> tuple[NDArray[np.float64], NDArray[Any]]:
        """Return rows and labels as arrays; images of whole numbers, for a run, as 0..1."""
        self.network_, self.facts_ = self.load()
        whole = getattr(X, "dtype", None) == np.uint8
        x, labels = validate_data(self, X, y, dtype=np.float64, **told)
        return (x / 255 if whole and isinstance(self.network_, Adapted) else x), np.asarray(labels)

    def read(self, x: NDArray[np.float64], target: NDArray[np.float64]) -> None:
        """Keep what the network makes of rows (S, D) and their targets (S, C).

        Raises:
            ValueError: more rows, features or classes than the network was meta-trained for.
        """
        self.limits_ = self.facts_["limits"]
        sizes = {"rows": len(x), "features": x.shape[1], "classes": target.shape[1]}
        for name, limit in self.limits_.items():
            if sizes[name] > limit:
                raise ValueError(
                    f"{type(self).__name__} was given {sizes[name]} {name} and is made for at most {limit}: "
                    f"{REMEDIES[name]}, or take another estimator."
                )
        with torch.no_grad():
            rows, shown = torch.from_numpy(np.ascontiguousarray(x)), torch.ones(len(x), dtype=torch.float64)
            y = torch.from_numpy(np.ascontiguousarray(target))
            self.support_: Any = self.network_.read(rows, y, shown, torch.ones_like(y[0]))

    def answer(self, X: ArrayLike) -> Tensor:
        """Return the network's outputs (B, C) for rows (B, D)."""
        check_is_fitted(self)
        whole = getattr(X, "dtype", None) == np.uint8
        rows = torch.from_numpy(np.ascontiguousarray(validate_data(self, X, reset=False, dtype=np.float64)))
        rows = rows / 255 if whole and isinstance(self.network_, Adapted) else rows
        with torch.no_grad():
            return torch.cat([self.network_.answer(self.support_, part) for part in torch.split(rows, ROWS)])


class MetaClassifier(ClassifierMixin, Reader):
    """Classifier for a handful of rows: a small transformer that has seen many generated tables reads yours.

    Müller et al., "Transformers can do Bayesian inference", ICLR 2022; Hollmann et al., "TabPFN", ICLR 2023.
    """

    kind = "classifier"

    def __init__(
        self, run: str | Path | None = None, outputs: str | Path = "outputs", balance_probabilities: bool = False
    ) -> None:
        """balance_probabilities: divide by how frequent each class was in fit, as if all were equally likely."""
        super().__init__(run, outputs)
        self.balance_probabilities = balance_probabilities

    def fit(self, X: ArrayLike, y: ArrayLike) -> MetaClassifier:
        """Keep the rows and labels, as the network sees them."""
        x, y = self.checked(X, y)
        check_classification_targets(y)
        self.classes_, number = np.unique(y, return_inverse=True)
        self.read(x, np.eye(len(self.classes_))[number])
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the probabilities (rows, classes) in the order of `classes_`."""
        logits = self.answer(X)
        if self.balance_probabilities:
            logits = logits - self.support_.share.log()
        found: NDArray[np.float64] = logits.softmax(-1).numpy()
        return found

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the most probable classes (rows,)."""
        best = self.predict_proba(X).argmax(1)
        found: NDArray[Any] = self.classes_[best]
        return found


class MetaRegressor(RegressorMixin, Reader):
    """Regressor for a handful of rows, by the same kind of network as `MetaClassifier`."""

    kind = "regressor"

    def fit(self, X: ArrayLike, y: ArrayLike) -> MetaRegressor:
        """Keep the rows and the labels, standardised."""
        x, y = self.checked(X, y, y_numeric=True)
        labels = np.asarray(y, np.float64)
        # The units of a run's own functions are part of what it has learned.
        scales = self.facts_.get("scales", True)
        self.mean_, self.scale_ = (float(labels.mean()), float(labels.std())) if scales else (0.0, 1.0)
        if not np.isfinite(self.scale_):
            raise ValueError("y has values so large that their spread is infinite: scale them first")
        standard = (labels - self.mean_) / (self.scale_ or 1.0)
        self.read(x, np.stack([standard, -standard], 1))
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the expected labels (rows,)."""
        out = self.answer(X)
        found: NDArray[np.float64] = (self.mean_ + self.scale_ * (out[:, 0] - out[:, 1]) / 2).numpy()
        return found
