"""The predictors without a model, by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from toys import rule

from metarun.rule import Batch, Task
from metarun.strategies.baseline.bias import Bias


def batch(item: list[list[int]], y: list[list[float]], known: list[list[float]] | None = None) -> Batch:
    labels = torch.tensor(y, dtype=torch.float64)
    shown = torch.ones_like(labels) if known is None else torch.tensor(known, dtype=torch.float64)
    return Batch({"item": torch.tensor(item)}, labels, shown, shown, torch.zeros(len(y), dtype=torch.int64))


def made(method: str, training: Batch, **changes: Any) -> Bias:
    found = rule(method, changes)
    assert isinstance(found, Bias)
    found.prepare(iter([Task({}, training, training)]))
    return found


def predict(found: Bias, item: list[int], support: Batch | None = None) -> list[float]:
    state = found.init({})
    if support is not None:
        state = found.update(state, Batch({"item": support.x["item"][0]}, *(leaf[0] for leaf in support[1:])))
    return found.predict(state, {"item": torch.tensor(item)})[:, 0].tolist()


TRAINING = batch([[0, 1, 2], [0, 2, 0]], [[4, 2, 3], [5, 1, torch.nan]], [[1, 1, 1], [1, 1, 0]])


def test_constant_is_the_mean_of_the_training_labels() -> None:
    found = made("baseline/constant", TRAINING)
    assert predict(found, [0, 5], batch([[0]], [[5]])) == [3, 3]


def test_support_mean_is_shrunk_to_the_training_mean() -> None:
    found = made("baseline/support_mean", TRAINING, damping=2.0)
    assert predict(found, [0, 1]) == [3, 3]
    # residuals 2 and 1 over 2 rows and 2 of prior belief
    assert predict(found, [0, 1], batch([[0, 2]], [[5, 4]])) == [3.75, 3.75]
    hidden = batch([[0, 2, 1]], [[5, 4, torch.nan]], [[1, 1, 0]])
    assert predict(found, [1], hidden) == [3.75]


def test_damping_of_zero_is_the_plain_mean() -> None:
    found = made("baseline/support_mean", TRAINING, damping=0.0)
    assert predict(found, [1], batch([[0, 2]], [[5, 4]])) == [4.5]
    assert predict(found, [1]) == [3]


def test_item_bias_is_the_damped_mean_residual() -> None:
    # every task rates both items with residuals +1 and -1, so the tasks' own biases are 0
    training = batch([[0, 1], [0, 1], [0, 1]], [[4, 2], [4, 2], [4, 2]])
    found = made("baseline/bias", training, item_damping=1.0, damping=1.0)
    assert predict(found, [0, 1, 9]) == pytest.approx([3 + 3 / 4, 3 - 3 / 4, 3])
    # support: residual 5 - 3.75 over one row and one of prior belief
    assert predict(found, [0], batch([[0]], [[5]])) == pytest.approx([3.75 + 1.25 / 2])


def test_item_biases_allow_for_who_rated() -> None:
    """Items that are all alike: one rated by a harsh user alone is no worse, one by a mild user alone no better."""
    training = batch([[0, 1, 2, 3], [0, 1, 2, 4]], [[2, 2, 2, 2], [4, 4, 4, 4]])
    found = made("baseline/bias", training, item_damping=0.01, damping=0.0)
    assert predict(found, [0, 3, 4]) == pytest.approx([3, 3, 3], abs=0.02)


def test_items_without_a_training_row_count_as_average() -> None:
    found = made("baseline/bias", TRAINING, item_damping=1.0)
    assert predict(found, [3, 1000]) == [3, 3]
