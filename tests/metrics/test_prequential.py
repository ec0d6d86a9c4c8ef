"""The metrics of a stream against hand-computed values and brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from metarun.metrics.prequential import fading, kappa_temporal, recovery, tracking, windowed


def test_fading_weighs_the_last_most() -> None:
    values = np.array([1.0, 0.0, np.nan, 1.0])
    expected = (1 * 0.5**3 + 0 * 0.5**2 + 1) / (0.5**3 + 0.5**2 + 1)
    assert fading(values, 0.5, np.array([3]))[0] == pytest.approx(expected)
    assert fading(values, 0.5, np.array([0]))[0] == 1.0


def test_windowed_is_the_mean_of_the_last_rows() -> None:
    values = np.array([1.0, 0.0, np.nan, 1.0, 1.0])
    assert windowed(values, 3, np.array([0, 1, 3, 4])).tolist() == [1.0, 0.5, 0.5, 1.0]


@pytest.mark.parametrize(("accuracy", "expected"), [(0.85, 0.0), (1.0, 1.0), (0.925, 0.5)])
def test_kappa_temporal(accuracy: float, expected: float) -> None:
    assert kappa_temporal(accuracy, 0.85) == pytest.approx(expected)


@pytest.mark.parametrize("switches", [0, 1, 2, 5])
def test_tracking_is_the_best_of_all_sequences(switches: int) -> None:
    losses = np.random.default_rng(0).random((6, 3))
    best = min(
        sum(losses[t, p] for t, p in enumerate(path))
        for path in itertools.product(range(3), repeat=6)
        if sum(a != b for a, b in itertools.pairwise(path)) <= switches
    )
    assert tracking(losses, switches) == pytest.approx(best)


def test_a_policy_that_diverges_is_no_best() -> None:
    assert tracking(np.array([[np.nan, 1.0], [0.0, 1.0]]), 0) == 2.0


def test_recovery_counts_rows_from_the_drift_to_the_end_of_the_first_good_window() -> None:
    errors = np.array([0.0] * 10 + [1.0] * 5 + [0.0] * 15 + [1.0] * 10)
    assert recovery(errors, [10, 30], 4, 0.0) == [9, None]
    assert recovery(errors, [10, 30], 4, 0.5) == [7, None]
    assert recovery(errors, [0], 4, 0.0) == [None], "nothing is known of before"
