"""Late averaging: a classifier for each input alone, and the mean of what they say."""

from __future__ import annotations

from typing import Any

import numpy as np

from metarun.data.named import THERE, segments
from metarun.errors import MetarunError
from metarun.model import Model
from metarun.strategies.estimator import Estimator, sklearn


class LateAverage(Estimator):
    """Logistic regression on the leading components of each input that a row has; probabilities are averaged.

    Kittler et al., "On combining classifiers", IEEE PAMI 20(3), 1998.
    """

    def __init__(self, *, model: Model, pooled: int, components: int, strength: float) -> None:
        """components: of each input at most; strength: inverse of the L2 penalty."""
        super().__init__(model=model, pooled=pooled)
        self.components, self.strength = components, strength
        inputs = getattr(model.backbone, "inputs", None)
        if not inputs or not self.classifies:
            raise MetarunError("baseline/late_average tells classes of several named inputs: choose backbone=fusion")
        self.segments = segments(inputs)

    def make(self) -> Any:
        """Return a fresh estimator."""
        return Averaged(self.segments, self.components, self.strength)


class Averaged:
    """One pipeline for each input, fitted on the rows that have it."""

    def __init__(self, parts: dict[str, slice], components: int, strength: float) -> None:
        self.parts, self.components, self.strength = parts, components, strength

    def fit(self, x: Any, y: Any) -> Averaged:
        """Fit all; an input that no two classes have stays silent."""
        self.kinds, self.fitted = np.unique(y), {}
        for name, part in self.parts.items():
            there = x[:, part.start] > 0
            if len(np.unique(y[there])) < 2:
                continue
            own = x[there, part.start + 1 : part.stop] / THERE
            pipeline = sklearn("pipeline", "make_pipeline")(
                sklearn("decomposition", "PCA")(
                    min(self.components, *own.shape), svd_solver="randomized", random_state=0
                ),
                sklearn("preprocessing", "StandardScaler")(),
                sklearn("linear_model", "LogisticRegression")(C=self.strength, max_iter=1000),
            )
            self.fitted[name] = pipeline.fit(own, y[there])
        return self

    def predict_proba(self, x: Any) -> Any:
        """Return probabilities (B, classes): the mean over the inputs that a row has and a pipeline was fitted for."""
        total, count = np.zeros((len(x), len(self.kinds))), np.zeros((len(x), 1))
        for name, pipeline in self.fitted.items():
            part = self.parts[name]
            there = np.flatnonzero(x[:, part.start] > 0)
            if len(there):
                known = np.searchsorted(self.kinds, pipeline.classes_)
                total[np.ix_(there, known)] += pipeline.predict_proba(x[there, part.start + 1 : part.stop] / THERE)
                count[there] += 1
        return np.where(count > 0, total / np.maximum(count, 1), 1 / len(self.kinds))
