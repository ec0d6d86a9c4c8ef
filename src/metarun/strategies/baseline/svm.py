"""A support vector machine on cepstra: what a practitioner would try on clips."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from metarun.data.audio.spectrogram import cepstra
from metarun.errors import MetarunError
from metarun.model import Model
from metarun.strategies.estimator import Estimator, sklearn

CEPSTRA = 20


class SVM(Estimator):
    """scikit-learn's, with a Gaussian kernel, on mean and spread of cepstra and of their changes.

    Cortes and Vapnik, "Support-vector networks", Machine Learning 20, 1995. Its margins are read as scores, so its
    log-loss is that of no calibrated probability.
    """

    def __init__(self, *, model: Model, pooled: int, strength: float, tune: dict[str, list[float]] | None) -> None:
        """strength: scikit-learn's C; tune: grid of it that validation chooses from."""
        super().__init__(model=model, pooled=pooled)
        if len(model.backbone.shape) != 3:
            raise MetarunError("baseline/svm reads spectrograms: choose a dataset of clips, or baseline/logistic")
        self.shape = tuple(model.backbone.shape)
        self.strength, self.tune = strength, tune

    def columns(self, x: Tensor) -> Tensor:
        """Return cepstra (B, 4 * CEPSTRA) of spectrograms (B, 1, bands, frames)."""
        given = x.reshape(-1, *self.shape)
        as_bytes = given if given.dtype == torch.uint8 else (255 * given).round().to(torch.uint8)
        return torch.from_numpy(cepstra(as_bytes.cpu().numpy(), CEPSTRA))

    def make(self) -> Any:
        """Return a fresh estimator."""
        scaled = sklearn("preprocessing", "StandardScaler")()
        return sklearn("pipeline", "make_pipeline")(scaled, sklearn("svm", "SVC")(C=self.strength))

    def chances(self, fitted: Any, x: Any) -> Any:
        """Return probabilities (B, C) made of the margins."""
        margin = fitted.decision_function(x)
        margin = np.stack([-margin, margin], 1) / 2 if margin.ndim == 1 else margin
        share = np.exp(margin - margin.max(1, keepdims=True))
        return share / share.sum(1, keepdims=True)
