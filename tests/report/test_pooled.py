import math

import numpy as np
import pytest

from metarun.metrics.interval import influences, paired
from metarun.metrics.student import quantile_95, two_sided
from metarun.report.pooled import Replicate, difference, mean


def replicate(values, metric="mae"):
    return Replicate(*influences(values, metric))


def block(*samples, metric="mae"):
    return {"tasks": {(str(seed),): replicate(values, metric) for seed, values in enumerate(samples)}}


def test_one_seed_is_the_interval_of_a_single_run():
    values = np.random.default_rng(0).gamma(2.0, size=300)
    found = mean(block(values, metric="rmse"))
    assert found.value == pytest.approx(values.mean() ** 0.5)
    half = 1.96 * (values.std(ddof=1) / (2 * values.mean() ** 0.5)) / 300**0.5
    assert found.ci95 == pytest.approx(half)
    assert (found.tasks, found.replicates) == (300, 1)


def test_tasks_and_seeds_by_hand():
    # Means 2 and 4, their mean 3; s2(seeds) = 2, over 2 seeds 1.
    # Averaged over seeds the tasks' influences are (-1.5, 0, 1.5): s2 = 2.25, over 3 tasks .75.
    found = mean(block([1.0, 2.0, 3.0], [2.0, 4.0, 6.0]))
    assert found.value == 3.0
    variance = 0.75 + 1.0
    freedom = variance**2 / (0.75**2 / 2 + 1.0**2 / 1)
    assert found.ci95 == pytest.approx(quantile_95(freedom) * variance**0.5)
    assert found.p == pytest.approx(two_sided(3.0 / variance**0.5, freedom))
    assert found.replicates == 2


def test_seeds_that_agree_leave_the_interval_over_tasks():
    one, two = mean(block([1.0, 2.0, 3.0])), mean(block([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]))
    assert two.ci95 < one.ci95 * 1.5
    assert two.value == one.value


def test_a_paired_difference_of_one_seed_is_that_of_a_run():
    a, b = [1.0, 2.0, 4.0], [1.5, 2.0, 5.0]
    found, single = difference(block(a), block(b)), paired(a, b, "mae")
    assert (found.value, found.ci95) == pytest.approx((single.value, single.ci95))
    assert found.p == pytest.approx(two_sided(-0.5 / (0.25 / 3) ** 0.5, 2))


def test_paired_seeds_cancel_what_they_share():
    # The second seed moves both by 10: the difference is -1 with either.
    a, b = block([1.0, 2.0], [11.0, 12.0]), block([2.0, 3.0], [12.0, 13.0])
    found = difference(a, b)
    assert (found.value, found.ci95, found.p) == (-1.0, 0.0, 0.0)


def test_other_seeds_add_their_variances():
    a = {"tasks": {("0",): replicate([1.0, 3.0]), ("1",): replicate([3.0, 5.0])}}
    b = {"tasks": {("2",): replicate([1.0, 3.0]), ("3",): replicate([1.0, 3.0])}}
    found = difference(a, b)
    # Tasks: both influences are (-1, 1), which cancels. Seeds: s2 = 2 and 0, over 2 each.
    assert found.value == 1.0
    assert found.ci95 == pytest.approx(quantile_95(1.0) * 1.0)


def test_other_tasks_are_not_paired():
    assert difference({"a": {("0",): replicate([1.0, 2.0])}}, {"b": {("0",): replicate([1.0, 2.0])}}) is None


def test_splits_are_what_varies():
    blocks = {split: {("0",): replicate([value - 0.1, value + 0.1])} for split, value in (("a", 1.0), ("b", 2.0))}
    found = mean(blocks)
    assert found.value == 1.5
    assert found.ci95 == pytest.approx(quantile_95(1) * (0.5 / 2) ** 0.5)
    assert found.tasks == 4


def test_splits_that_happen_to_agree_are_no_surer_than_their_tasks():
    blocks = {split: {("0",): replicate([0.0, 2.0])} for split in "ab"}
    assert mean(blocks).ci95 == pytest.approx(quantile_95(1) * (1.0 / 2) ** 0.5)


def test_what_diverged_stays_diverged():
    found = mean(block([1.0, math.inf], [1.0, 2.0]))
    assert math.isinf(found.value)
    assert math.isnan(found.p)
    assert math.isnan(mean(block([1.0])).ci95)


def test_identical_methods_do_not_differ():
    found = difference(block([1.0, 2.0]), block([1.0, 2.0]))
    assert (found.value, found.ci95, found.p) == (0.0, 0.0, 1.0)


def test_f1_of_one_seed_is_that_of_a_run():
    one = np.array([[0.4, 0.1], [0.6, 0.4], [0.5, 0.4]])
    other = one[[2, 0, 1]] * 0.9
    found, single = difference(block(one, metric="f1@20"), block(other, metric="f1@20")), paired(one, other, "f1@20")
    assert (found.value, found.ci95) == pytest.approx((single.value, single.ci95))


def test_the_interval_covers():
    """Of a true mean 0 with noise of tasks and seeds the interval misses about one in twenty, not more."""
    random = np.random.default_rng(1)
    missed = 0
    for _ in range(400):
        seeds = random.normal(0, 0.3, size=(5, 1)) + random.normal(0, 1.0, 30) + random.normal(0, 0.5, (5, 30))
        found = mean(block(*seeds))
        missed += abs(found.value) > found.ci95
    assert missed <= 0.075 * 400
