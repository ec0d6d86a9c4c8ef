"""TF-IDF and logistic regression by scikit-learn on the support of each task alone: what learning has to beat.

Spärck Jones, "A statistical interpretation of term specificity", Journal of Documentation 28(1), 1972.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from metarun.errors import MetarunError
from metarun.model import Model, among
from metarun.rule import Batch, Rule, State, Task
from metarun.strategies.classes import present


class TfIdf(Rule):
    """Rows of token numbers (B, L); the weight of a token is told by the training rows.

    `inverse_penalty`: scikit-learn's C; `sublinear`: one more than the logarithm of how often a token is in a text.
    """

    everyone = True
    alone = True

    weight: Tensor

    def __init__(self, inverse_penalty: float, sublinear: bool, tune: Any = None, *, model: Model) -> None:
        super().__init__(model)
        try:
            import sklearn  # noqa: F401
        except ImportError as error:
            raise MetarunError("baseline/tfidf needs scikit-learn: pip install 'metarun[text]'") from error
        model.backbone.requires_grad_(False)
        self.inverse_penalty, self.sublinear, self.tune = inverse_penalty, sublinear, tune
        self.register_buffer("weight", torch.ones(len(model.backbone.vectors)))

    @torch.no_grad()
    def prepare(self, tasks: Iterator[Task]) -> None:
        """Take the inverse document frequencies of the training rows, smoothed as scikit-learn's are."""
        rows, having = 0, torch.zeros_like(self.weight)
        for _, support, query in tasks:
            for batch in (support, query):
                there = self.counts(batch.x.flatten(0, 1)) > 0
                counted = batch.mask.flatten()[:, None]
                having, rows = having + (there * counted).sum(0), rows + int(counted.sum())
        self.weight.copy_(((1 + rows) / (1 + having)).log() + 1)

    def counts(self, x: Tensor) -> Tensor:
        """Return how often each token is in each row, (B, V), padding never."""
        found = x.new_zeros(len(x), len(self.weight), dtype=self.weight.dtype)
        found.scatter_add_(1, x, torch.ones_like(x, dtype=self.weight.dtype))
        found[:, 0] = 0.0
        return found

    def vectors(self, x: Tensor) -> Tensor:
        """Return TF-IDF rows (B, V) of length 1."""
        often = self.counts(x)
        often = torch.where(often > 0, often.clamp(min=1.0).log() + 1, 0.0) if self.sublinear else often
        return torch.nn.functional.normalize(often * self.weight, dim=-1)

    def init(self, context: dict[str, Any]) -> State:
        """Return a head of zeros (V, C), which says nothing of the classes."""
        classes = present(self.model, context)
        head = self.weight.new_zeros(len(self.weight), len(classes))
        return {"head": head, "bias": torch.zeros_like(classes), "classes": classes}

    def update(self, state: State, batch: Batch) -> State:
        """Fit the head on the rows whose label is known; one class alone is all that can be answered."""
        from sklearn.linear_model import LogisticRegression

        known = batch.known > 0
        label = batch.y[known]
        if not len(label):
            return state
        kinds: Tensor = torch.unique(label)
        head, bias = torch.zeros_like(state["head"]), torch.full_like(state["bias"], -torch.inf)
        if len(kinds) == 1:
            bias[kinds] = 0.0
            return {**state, "head": head, "bias": bias.clamp(min=CERTAIN)}
        rows = self.vectors(batch.x[known])
        # A token that no row has keeps the weight 0 under a penalty, so the few that some row has are all there is.
        used = (rows > 0).any(0)
        fitted = LogisticRegression(C=self.inverse_penalty, max_iter=1000)
        fitted.fit(rows[:, used].cpu().numpy(), label.cpu().numpy())
        coefficient, offset = (torch.from_numpy(found).to(head) for found in (fitted.coef_, fitted.intercept_))
        if len(kinds) == 2:  # one row for both: the second class against the first
            coefficient, offset = torch.cat([-coefficient, coefficient]) / 2, torch.cat([-offset, offset]) / 2
        bias[kinds] = offset
        head[:, kinds] = head.new_zeros(len(head), len(kinds)).masked_scatter(used[:, None], coefficient.mT)
        return {**state, "head": head, "bias": bias.clamp(min=CERTAIN)}

    def predict(self, state: State, x: Tensor) -> Tensor:
        """Return scores (B, C)."""
        return among(self.vectors(x) @ state["head"] + state["bias"], state["classes"])


CERTAIN = -30.0
"""The score of a class without a row."""
