import math

import pytest

from metarun.metrics.student import quantile_95, two_sided

FREEDOM = (1, 1.3, 2, 2.7, 4.5, 6, 11.8, 80, 1_000, 54_321, 1e6, 1e9)


def test_against_scipy():
    student = pytest.importorskip("scipy.stats").t
    for freedom in FREEDOM:
        for t in (0.0, 0.1, 0.7, 1.0, 1.96, 3.0, 7.0, 30.0):
            assert two_sided(t, freedom) == pytest.approx(2 * student.sf(t, freedom), rel=1e-5, abs=1e-200)
        assert quantile_95(freedom) == pytest.approx(student.ppf(0.975, freedom), rel=1e-6)


def test_closed_forms():
    # With one degree of freedom it is Cauchy's distribution, with two P = 1 - t / sqrt(2 + t^2).
    assert two_sided(1.0, 1) == pytest.approx(0.5)
    assert two_sided(-2.0, 2) == pytest.approx(1 - 2 / 6**0.5)
    assert quantile_95(1) == pytest.approx(math.tan(0.475 * math.pi))


def test_ends():
    assert two_sided(0.0, 5) == 1.0
    assert two_sided(math.inf, 5) == 0.0
    assert math.isnan(two_sided(math.nan, 5))
