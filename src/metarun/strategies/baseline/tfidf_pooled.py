"""TF-IDF and logistic regression on the texts of other groups and the labelled ones of the task together."""

from __future__ import annotations

from typing import Any

import numpy as np

from metarun.data.tokens import PADDING
from metarun.errors import MetarunError
from metarun.model import Model
from metarun.strategies.estimator import Estimator, sklearn


class PooledTfIdf(Estimator):
    """scikit-learn's, on token numbers (B, L); what a practitioner with data of other groups would try first.

    Spärck Jones, "A statistical interpretation of term specificity", Journal of Documentation 28(1), 1972.
    """

    def __init__(self, *, model: Model, pooled: int, strength: float) -> None:
        """strength: inverse of the L2 penalty."""
        super().__init__(model=model, pooled=pooled)
        if not hasattr(model.backbone, "vectors"):
            raise MetarunError("baseline/tfidf_pooled reads texts: choose a dataset of texts, or baseline/boosting")
        self.size, self.strength = len(model.backbone.vectors), strength

    def make(self) -> Any:
        """Return a fresh estimator."""
        counting = sklearn("preprocessing", "FunctionTransformer")(self.counts)
        weighing = sklearn("feature_extraction.text", "TfidfTransformer")(sublinear_tf=True)
        fitted = sklearn("linear_model", "LogisticRegression")(C=self.strength, max_iter=1000)
        return sklearn("pipeline", "make_pipeline")(counting, weighing, fitted)

    def counts(self, tokens: Any) -> Any:
        """Return how often each token is in each row, a sparse (B, V), padding never."""
        from scipy.sparse import csr_array

        rows, places = np.nonzero(tokens != PADDING)
        kinds = tokens[rows, places].astype(np.int64)
        return csr_array((np.ones(len(rows)), (rows, kinds)), shape=(len(tokens), self.size))
