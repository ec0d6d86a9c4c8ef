"""Figures over an accuracy matrix, by hand."""

from __future__ import annotations

from math import isnan

import numpy as np
import pytest

from metarun.metrics import continual

R = np.array([[0.1, 0.2, 0.3], [0.9, 0.4, 0.3], [0.7, 0.8, 0.5], [0.8, 0.6, 1.0]])


def test_figures_are_those_worked_out_by_hand() -> None:
    assert continual.final(R) == pytest.approx((0.8 + 0.6 + 1.0) / 3)
    assert continual.learned(R) == pytest.approx((0.9 + 0.8 + 1.0) / 3)
    assert continual.forgetting(R) == pytest.approx((0.1 + 0.2) / 2), "the best there was less the last"
    assert continual.backward(R) == pytest.approx((-0.1 - 0.2) / 2)
    assert continual.forward(R) == pytest.approx(((0.4 - 0.2) + (0.5 - 0.3)) / 2)


def test_one_task_has_nothing_before_or_after_it() -> None:
    one = R[:2, :1]
    assert continual.final(one) == pytest.approx(0.9)
    assert all(isnan(f(one)) for f in (continual.forgetting, continual.backward, continual.forward))
