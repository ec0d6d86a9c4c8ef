import math

import pytest

from metarun.metrics.holm import holm


def test_by_hand():
    # Sorted .01 .02 .03 .04: times 4, 3, 2, 1 is .04 .06 .06 .04, and never below the one before.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])


def test_never_above_one():
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_what_was_not_compared_does_not_count():
    found = holm([math.nan, 0.02, 0.04])
    assert math.isnan(found[0])
    assert found[1:] == pytest.approx([0.04, 0.04])
    assert holm([]) == []
