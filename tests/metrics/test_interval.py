import numpy as np
import pytest

from metarun.metrics.interval import Estimate, estimate, influences, paired, quantile

REPEATS, TASKS = 600, 80


def test_mean_by_hand():
    value, ci95, n = estimate([1.0, 2.0, 3.0], "mae")
    assert (value, n) == (2.0, 3)
    assert ci95 == pytest.approx(4.3027 * 1.0 / 3**0.5)


def test_rmse_by_hand():
    # Mean squared errors 1 and 7: root of 4 is 2; sd of (1, 7) is sqrt(18); the delta method halves it by 2 * 2.
    value, ci95, _ = estimate([1.0, 7.0], "rmse")
    assert value == 2.0
    assert ci95 == pytest.approx(12.7062 * 18**0.5 / 2**0.5 / 4)


def test_f1_by_hand():
    # P = .5 and R = .25 on average, so F1 = 2 * .125 / .75.
    values = [[0.4, 0.1], [0.6, 0.4]]
    value, ci95, _ = estimate(values, "f1@20")
    assert value == pytest.approx(1 / 3)
    slopes = 2 * 0.25**2 / 0.75**2, 2 * 0.5**2 / 0.75**2
    spread = 0.1 * slopes[0] + 0.15 * slopes[1]
    assert ci95 == pytest.approx(12.7062 * 2**0.5 * spread / 2**0.5)


@pytest.mark.parametrize("metric", ["rmse", "f1", "mae"])
def test_influence_is_the_derivative(metric):
    rng = np.random.default_rng(0)
    values = rng.random((7, 2) if metric == "f1" else 7)
    value, influence = influences(values, metric)
    assert influence.mean() == pytest.approx(0, abs=1e-12)
    for task in range(7):  # weight on one task, a little more than on the others
        eps, weights = 1e-6, np.full(7, (1 - 1e-6) / 7)
        weights[task] += eps
        means = weights @ values
        moved = {"rmse": np.sqrt, "mae": float, "f1": lambda m: 2 * m[0] * m[1] / m.sum()}[metric](means)
        assert (moved - value) / eps == pytest.approx(influence[task], rel=1e-3, abs=1e-4)


def test_paired_by_hand():
    a, b = np.array([1.0, 2.0, 4.0]), np.array([0.0, 2.0, 3.0])
    difference, ci95, n = paired(a, b, "mae")
    assert (difference, n) == (pytest.approx(2 / 3), 3)
    assert ci95 == pytest.approx(4.3027 * np.std(a - b, ddof=1) / 3**0.5)
    assert paired(a, a, "rmse") == Estimate(0.0, 0.0, 3)


def test_paired_is_tighter_than_two_intervals():
    rng = np.random.default_rng(1)
    users = rng.gamma(2.0, 0.5, 500)
    a, b = users + rng.normal(0, 0.05, 500) ** 2, users + 0.02
    assert paired(a, b, "rmse").ci95 < 0.2 * estimate(a, "rmse").ci95


@pytest.mark.parametrize(
    ("tasks", "expected"),
    [(2, 12.706), (3, 4.303), (7, 2.447), (8, 2.365), (11, 2.228), (28, 2.052), (61, 2.000), (99, 1.984), (100, 1.96)],
)
def test_quantile_by_the_printed_tables(tasks, expected):
    assert quantile(tasks) == pytest.approx(expected, abs=6e-4)


def test_quantile_falls_without_a_jump():
    found = [quantile(tasks) for tasks in range(2, 120)]
    assert found == sorted(found, reverse=True)
    assert quantile(99) < 1.013 * quantile(100)


def test_coverage_of_few_tasks():
    rng = np.random.default_rng(21)
    found = [estimate(rng.normal(0.7, 0.3, 5), "mae") for _ in range(2000)]
    assert np.mean([abs(f.value - 0.7) <= f.ci95 for f in found]) == pytest.approx(0.95, abs=0.015)


def coverage(draw, metric, truth, difference=False):
    rng = np.random.default_rng(20)
    hits = 0
    for _ in range(REPEATS):
        found = paired(*draw(rng), metric) if difference else estimate(draw(rng), metric)
        hits += abs(found.value - truth) <= found.ci95
    return hits / REPEATS


def test_coverage_of_the_mean():
    assert coverage(lambda rng: rng.normal(0.7, 0.3, TASKS), "mae", 0.7) == pytest.approx(0.95, abs=0.025)


def test_coverage_of_the_rmse():
    # A user's mean squared error over 20 rows, the users differing in how predictable they are: E[mse] = .8.
    def draw(rng):
        return rng.gamma(4.0, 0.2, TASKS) * rng.chisquare(20, TASKS) / 20

    assert coverage(draw, "rmse", 0.8**0.5) == pytest.approx(0.95, abs=0.025)


def test_coverage_of_the_paired_rmse():
    def draw(rng):
        user = rng.gamma(4.0, 0.2, TASKS)
        common = rng.chisquare(20, TASKS) / 20
        return user * common + 0.1 * rng.random(TASKS), user * common

    truth = 0.85**0.5 - 0.8**0.5
    assert coverage(draw, "rmse", truth, difference=True) == pytest.approx(0.95, abs=0.025)


def test_coverage_of_f1():
    def draw(rng):
        precision = rng.beta(4, 2, TASKS)
        return np.stack([precision, 0.5 * precision + 0.5 * rng.beta(2, 2, TASKS)], 1)

    p, r = 2 / 3, 0.5 * 2 / 3 + 0.25
    assert coverage(draw, "f1@20", 2 * p * r / (p + r)) == pytest.approx(0.95, abs=0.025)


def test_edges():
    assert estimate([0.0, 0.0], "rmse") == Estimate(0.0, 0.0, 2)
    assert np.isnan(estimate([4.0], "rmse").ci95)
    assert estimate([4.0], "rmse").value == 2.0
    assert not estimate([4.0], "rmse").significant
    assert np.isnan(estimate([], "mae").value)
    assert estimate([1.0, np.inf], "rmse").value == np.inf
    assert estimate([[0.0, 0.0]] * 2, "f1") == Estimate(0.0, 0.0, 2)


def test_refusals():
    with pytest.raises(ValueError, match="3 against 2"):
        paired([1.0, 2.0, 3.0], [1.0, 2.0], "mae")
    with pytest.raises(ValueError, match=r"f1@20 needs values of shape \(T, 2\)"):
        estimate([1.0, 2.0], "f1@20")
    with pytest.raises(ValueError, match=r"ndcg@10 needs values of shape \(T,\)"):
        estimate([[1.0, 2.0]], "ndcg@10")
    with pytest.raises(ValueError, match="of at least one task"):
        estimate(np.zeros((0, 2)), "rmse")


def test_over_rows_by_hand():
    # 1 row with squared error 4, 3 rows with squared error 1: 7 / 4 over rows, 2.5 over tasks.
    found = estimate([[4.0, 1.0], [1.0, 3.0]], "rmse")
    assert found.value == pytest.approx((7 / 4) ** 0.5)
    influence = np.array([1 * (4 - 1.75), 3 * (1 - 1.75)]) / 2 / (2 * 1.75**0.5)
    assert found.ci95 == pytest.approx(12.7062 * influence.std(ddof=1) / 2**0.5)
    assert estimate([[2.0, 5.0], [2.0, 1.0]], "mae").value == 2.0


def test_over_rows_coverage():
    def draw(rng):
        rows = rng.integers(1, 60, TASKS)
        return np.stack([rng.gamma(2.0, 0.5, TASKS) + rows / 60, rows], 1)

    mean_square = (np.arange(1, 60) ** 2).mean()
    truth = 1.0 + mean_square / 30 / 60
    assert coverage(draw, "rmse", truth**0.5) == pytest.approx(0.95, abs=0.03)
