"""Logistic regression, or ridge regression for numbers, on the raw inputs."""

from __future__ import annotations

from typing import Any

from metarun.model import Model
from metarun.strategies.estimator import Estimator, sklearn


class Logistic(Estimator):
    """scikit-learn's, with an L2 penalty; `strength` is the inverse of it."""

    def __init__(self, *, model: Model, pooled: int, strength: float, tune: dict[str, list[float]] | None) -> None:
        """tune: grid of `strength` that validation chooses from."""
        super().__init__(model=model, pooled=pooled)
        self.strength, self.tune = strength, tune

    def make(self) -> Any:
        """Return a fresh estimator."""
        if not self.classifies:
            return sklearn("linear_model", "Ridge")(alpha=1 / self.strength)
        return sklearn("linear_model", "LogisticRegression")(C=self.strength, max_iter=1000)
