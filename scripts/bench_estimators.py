"""MetaClassifier and MetaRegressor on real tables that had no part in their training, from 5 to 50 rows.

METARUN_DATA=data python scripts/bench_estimators.py classification|regression [--draws 20] [--csv FILE]
python scripts/bench_estimators.py generated --draws 2  # tables as large as the estimators take

All methods get the same draws. What is missing is the mean of the support rows (0 where all are missing); the rivals
are standardised; "linear" is logistic regression as it comes, or ridge by leave-one-out. Scores: balanced accuracy; 1 -
RMSE / deviation of the labels of the table. "better" is, table by table and
size by size, the rival with the higher mean. Intervals are 95 % over draws, the tables being given.
"""

from __future__ import annotations

import argparse
import csv
import warnings
from functools import partial
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import tables
import torch
from numpy.typing import NDArray
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LogisticRegression, Ridge, RidgeCV
from sklearn.metrics import balanced_accuracy_score
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from metarun import MetaClassifier, MetaRegressor
from metarun.in_context.network import Network

SIZES, LARGE, QUERIES = (5, 10, 20, 50), (300, 1000), 500
Floats = NDArray[np.float64]


def draw(name: str, y: Floats, size: int, number: int, classes: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return support and query rows of a draw; with classes the support has a row of each."""
    rng = np.random.default_rng([crc32(name.encode()), size, number])
    order = rng.permutation(len(y))
    if classes:
        _, first = np.unique(y[order], return_index=True)
        order = np.concatenate([order[first], np.delete(order, first)])
    return order[:size], order[size : size + QUERIES]


def filled(support: Floats, query: Floats) -> tuple[Floats, Floats]:
    """Return rows with the support's mean where a value is missing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mean = np.nan_to_num(np.nanmean(support, 0))
    return np.where(np.isnan(support), mean, support), np.where(np.isnan(query), mean, query)


def methods(kind: str, size: int) -> dict[str, Any]:
    """Return the estimators by name."""
    few = 1 + 2 * min(size // 20, 2)  # 1 of 5 and 10 rows, 3 of 20, 5 of 50 and more; of numbers at least 3
    scaled = partial(make_pipeline, StandardScaler())
    if kind != "regression":
        return {
            "meta": MetaClassifier(),
            "meta balanced": MetaClassifier(balance_probabilities=True),
            "linear": scaled(LogisticRegression(max_iter=1000)),
            "linear balanced": scaled(LogisticRegression(max_iter=1000, class_weight="balanced")),
            "k-NN": scaled(KNeighborsClassifier(few)),
            "5-NN": scaled(KNeighborsClassifier(5)),
        }
    return {
        "meta": MetaRegressor(),
        "linear": scaled(RidgeCV(np.logspace(-2, 4, 13))),
        "ridge of 1": scaled(Ridge()),
        "k-NN": scaled(KNeighborsRegressor(max(few, 3))),
        "5-NN": scaled(KNeighborsRegressor(5)),
        "mean": DummyRegressor(),
    }


def untrained(kind: str, seed: int) -> MetaClassifier | MetaRegressor:
    """Return the estimator with fresh weights in its network."""
    face = MetaRegressor if kind == "regression" else MetaClassifier

    class Untrained(face):  # type: ignore[misc, valid-type]
        def load(self) -> tuple[Network, dict[str, Any]]:
            network, facts = super().load()
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                return Network(**network.sizes).double().eval(), facts

    return Untrained()


def score(kind: str, y: Floats, found: Floats, spread: float) -> float:
    """Return what is averaged: higher is better."""
    if kind != "regression":
        return float(balanced_accuracy_score(y, found))
    return float(1 - np.sqrt(np.mean((y - found) ** 2)) / spread)


def measure(kind: str, draws: int, sizes: tuple[int, ...]) -> dict[tuple[str, int], dict[str, Floats]]:
    """Return the scores (draws,) of every method for every table and size."""
    results: dict[tuple[str, int], dict[str, Floats]] = {}
    classes = kind != "regression"
    for name, x, y in getattr(tables, kind)():
        for size in sizes:
            if classes and size < len(np.unique(y)):
                continue
            found: dict[str, list[float]] = {}
            for number in range(draws):
                support, query = draw(name, y, size, number, classes)
                xs, xq = filled(x[support], x[query])
                for method, estimator in {**methods(kind, size), "untrained": untrained(kind, number)}.items():
                    fitted = estimator.fit(xs, y[support])
                    found.setdefault(method, []).append(score(kind, y[query], fitted.predict(xq), float(y.std())))
            results[name, size] = {method: np.array(values) for method, values in found.items()}
            means = [f"{method} {values.mean():.3f}" for method, values in results[name, size].items()]
            print(f"{name:24} {size:3}", *means, sep="  ", flush=True)
    return results


def interval(differences: list[Floats]) -> tuple[float, float]:
    """Return the mean over tables of the mean over draws, and half the width of its 95 % interval."""
    variance = sum(d.var(ddof=1) / len(d) for d in differences) / len(differences) ** 2
    return float(np.mean([d.mean() for d in differences])), 1.96 * float(np.sqrt(variance))


def compare(results: dict[tuple[str, int], dict[str, Floats]], sizes: tuple[int, ...]) -> None:
    """Print means per size and over all, and paired differences to the better rival and to the best of all others."""
    ours = ("meta", "meta balanced", "untrained")
    for chosen in [*((size,) for size in sizes), sizes]:
        cells = [found for (_, size), found in results.items() if size in chosen]
        others = [name for name in cells[0] if name not in ours]
        rivals = {"better": ["linear", "k-NN"], "best of all": others} | {name: [name] for name in others}
        print(f"\nrows {', '.join(map(str, chosen))}: {len(cells)} tables and sizes; mean, then paired differences")
        for method in cells[0]:
            print(f"  {method:16} {np.mean([found[method].mean() for found in cells]):.4f}")
        for method in [name for name in ours if name in cells[0]]:
            for rival, names in rivals.items():
                chosen_ones = [found[max(names, key=lambda name, f=found: f[name].mean())] for found in cells]
                mean, half = interval([found[method] - r for found, r in zip(cells, chosen_ones, strict=True)])
                print(f"  {method} - {rival}: {mean:+.4f} ± {half:.4f}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("classification", "regression", "generated"))
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--csv", type=Path, help="write every score")
    options = parser.parse_args()
    torch.set_num_threads(1)
    sizes = LARGE if options.kind == "generated" else SIZES
    results = measure(options.kind, options.draws, sizes)
    compare(results, sizes)
    if options.csv:
        with options.csv.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("table", "rows", "method", "draw", "score"))
            for (name, size), found in results.items():
                writer.writerows((name, size, m, i, v) for m, values in found.items() for i, v in enumerate(values))


if __name__ == "__main__":
    main()
