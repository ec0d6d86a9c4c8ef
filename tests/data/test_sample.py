"""The synthetic sample: the same for the same seed, shaped like latest-small, and honest about what it is."""

from __future__ import annotations

import time

import numpy as np
import pytest

from metarun.data import movielens, sample


@pytest.fixture(scope="module")
def ratings():
    return sample.generate()


def test_the_same_seed_gives_the_same_ratings(ratings):
    assert sample.generate(0).checksum == ratings.checksum
    assert sample.generate(1).checksum != ratings.checksum
    assert movielens.read("sample").checksum == ratings.checksum


def test_it_says_that_it_is_synthetic(ratings):
    assert ratings.synthetic
    assert ratings.name == "movielens/sample (synthetic)"
    assert movielens.read("sample", users="1-100").name == "movielens/sample (synthetic) (users 1-100)"


def test_it_is_quick():
    start = time.process_time()
    sample.generate()
    assert time.process_time() - start < 2


def test_columns_are_sorted_and_pairs_are_unique(ratings):
    pairs = ratings.user.astype(np.int64) * ratings.n_items + ratings.item
    assert len(np.unique(pairs)) == len(pairs)
    same = np.diff(ratings.user) == 0
    assert (np.diff(ratings.user) >= 0).all()
    assert (np.diff(ratings.time)[same] >= 0).all()
    assert np.array_equal(np.repeat(np.arange(610), np.diff(ratings.offsets)), ratings.user)
    assert ratings.time.min() > 0
    assert set(np.unique(ratings.value)) == {x / 2 for x in range(1, 11)}


def test_marginals_are_those_of_latest_small(ratings):
    activity = np.diff(ratings.offsets)
    assert activity.min() == 20
    assert len(ratings.value) == pytest.approx(100_836, rel=0.01)
    assert np.median(activity) == pytest.approx(70.5, rel=0.05)
    assert np.quantile(activity, 0.9) == pytest.approx(400, rel=0.05)
    histogram = np.bincount((ratings.value * 2).astype(int))[1:] / len(ratings.value)
    assert histogram == pytest.approx(np.array(sample.STARS) / sum(sample.STARS), abs=1e-3)
    popularity = np.sort(np.bincount(ratings.item, minlength=ratings.n_items))[::-1]
    for rank, count in ((1, 329), (50, 144), (100, 112), (500, 46), (1000, 26)):
        assert popularity[rank - 1] == pytest.approx(count, rel=0.25)
    assert 1000 < (popularity == 1).sum() < 3500
    assert (popularity == 0).any()  # a catalogue has films that nobody rated yet


def test_nobody_rates_a_film_before_its_year(ratings):
    years = np.array([int(title[-5:-1]) for title in ratings.titles])
    rated = np.floor(ratings.time / sample.YEAR + 1970)
    assert (years[ratings.item] <= rated).all()
    assert rated.max() <= 2018


def test_features_tell_something_about_levels_and_tastes(ratings):
    means = np.add.reduceat(ratings.value, ratings.offsets[:-1]) / np.diff(ratings.offsets)
    x = ratings.user_features - ratings.user_features.mean(axis=0)
    fitted = x @ np.linalg.lstsq(x, means - means.mean(), rcond=None)[0]
    assert 0.1 < fitted.var() / means.var() < 0.8
    assert (ratings.user_features.sum(axis=1) == 3).all()
    assert any(name.startswith("genre=") for name in ratings.item_feature_names)
    assert "year" in ratings.item_feature_names
