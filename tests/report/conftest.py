import numpy as np
import pytest

from metarun.report.summary import paired_values, ranking_values, support_values
from metarun.results import Score

SIZES = (0, 1, 3, 5, 10, 20)
METHODS = {
    "meta/ridge": (0.979, 0.905),
    "baseline/constant": (1.12, 1.12),
    "baseline/support_mean": (1.45, 1.02),
    "baseline/bias": (1.008, 0.953),
    "baseline/ridge": (0.995, 0.915),
    "baseline/gaussian_prior": (0.98, 0.907),
    "transfer/finetune": (1.0, 0.93),
    "transfer/ridge": (0.996, 0.916),
    "online/sgd": (1.003, 0.945),
    "adaptive/fixed_share": (1.0, 0.938),
    "meta/maml": (0.986, 0.921),
    "meta/update_rule": (0.982, 0.91),
    "meta/anil": (1.001, 0.94),
}


def tasks(methods=METHODS, users=300):
    """Return made-up scores: the same users for every method, who differ in how predictable they are."""
    rng, ids = np.random.default_rng(0), np.arange(users)
    user = rng.gamma(4.0, 0.25, users)
    scores = []
    for step, size in enumerate(SIZES):
        for method, (first, final) in methods.items():
            root = 1.008 if size == 0 else first + (final - first) * (step - 1) / 4
            noise = 0 if size == 0 else 0.02 * rng.standard_normal(users)
            mse = np.abs(user * root**2 + noise)
            scores.append(Score("test", "tasks", method, "user-cold", size, "mse", ids, mse))
            scores.append(Score("test", "tasks", method, "user-cold", size, "mae", ids, 0.8 * np.sqrt(mse)))
    return scores


def rankings(users=200):
    """Return made-up rated-only scores at two thresholds, random, popularity and oracle among them."""
    rng, ids = np.random.default_rng(1), np.arange(users)
    means = {"random": 0.6, "popularity": 0.65, "oracle": 0.82} | {m: 0.75 - 0.04 * v[1] for m, v in METHODS.items()}
    return [
        Score("test", f"rated-only/threshold={t}", method, "warm", None, metric, ids, rng.normal(mean, 0.05, users))
        for t in (4, 3)
        for method, mean in means.items()
        for metric in ("precision@20", "recall@20")
    ]


def make(scores, **fields):
    """Return a summary as a run leaves it."""
    return {
        "name": "movielens_compare",
        "run_id": "3fa9c01e",
        "dataset": "movielens/1m",
        "synthetic": False,
        "metric": "rmse",
        "winner": "meta/ridge",
        "reference": "baseline/ridge",
        "setting": {"split": "cold", "split_seed": 0, "seed": 1},
        "validation": {},
        "test": support_values(scores),
        "paired": paired_values(scores, "baseline/ridge"),
        "ranking": ranking_values(scores),
        "folder": "outputs/movielens_compare/3fa9c01e",
        "warnings": [],
    } | fields


@pytest.fixture(scope="module")
def summary():
    return make([*tasks(), *rankings()])


@pytest.fixture
def summarise():
    return lambda methods=METHODS, **fields: make(tasks(methods), **fields)
