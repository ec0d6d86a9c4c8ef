"""Gradient boosting of trees on the raw inputs."""

from __future__ import annotations

from typing import Any

from metarun.model import Model
from metarun.strategies.estimator import Estimator, sklearn


class Boosting(Estimator):
    """scikit-learn's, on histograms; Friedman, "Greedy function approximation", Annals of Statistics 29(5), 2001."""

    def __init__(self, *, model: Model, pooled: int, trees: int, depth: int, rate: float) -> None:
        """trees: of how many steps; depth: of each; rate: how much each counts."""
        super().__init__(model=model, pooled=pooled)
        self.fields = {"max_iter": trees, "max_depth": depth, "learning_rate": rate, "random_state": 0}

    def make(self) -> Any:
        """Return a fresh estimator."""
        name = f"HistGradientBoosting{'Classifier' if self.classifies else 'Regressor'}"
        return sklearn("ensemble", name)(**self.fields)
