import math

import pytest

from metarun.metrics.lift import lift


def test_by_hand():
    assert lift(0.72, 0.62, 0.82) == pytest.approx(0.5)
    assert lift(0.62, 0.62, 0.82) == 0.0
    assert lift(0.82, 0.62, 0.82) == 1.0
    assert math.isnan(lift(0.5, 0.5, 0.5))
