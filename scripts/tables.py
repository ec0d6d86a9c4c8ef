"""Tables for bench_estimators.py: scikit-learn's own, those of UCI in the folder METARUN_DATA, generated ones."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn import datasets

from metarun.data.prior.tasks import Limits, PriorTasks

Table = tuple[str, NDArray[np.float64], NDArray[np.float64]]
HOSPITALS = ("cleveland", "hungarian", "switzerland", "va")


def read(*parts: str, header: int | None = None) -> NDArray[np.float64] | None:
    """Return a file of numbers with nan for what is missing; None where there is no such file."""
    path = Path(os.environ.get("METARUN_DATA", "data")).joinpath(*parts)
    if not path.is_file():
        return None
    return pd.read_csv(path, header=header, na_values="?").to_numpy(np.float64)


def classification() -> Iterator[Table]:
    """Yield name, features and classes."""
    for name in ("iris", "wine", "breast_cancer", "digits"):
        yield (name, *getattr(datasets, f"load_{name}")(return_X_y=True))
    for hospital in HOSPITALS:
        rows = read("heart-disease-uci", f"processed.{hospital}.data")
        if rows is not None:
            yield f"heart {hospital}", rows[:, :13], (rows[:, 13] > 0).astype(float)
    rows = read("uci-medical-small", "pima-indians-diabetes.data.csv")
    if rows is not None:
        yield "pima", rows[:, :8], rows[:, 8]
    rows = read("uci-medical-small", "breast-cancer-wisconsin.data")
    if rows is not None:
        yield "wisconsin", rows[:, 1:10], rows[:, 10]


def regression() -> Iterator[Table]:
    """Yield name, features and labels; where a table has no label of its own, one of its measurements is it."""
    yield ("diabetes", *datasets.load_diabetes(return_X_y=True))
    wine, iris = datasets.load_wine().data, datasets.load_iris().data
    yield "wine alcohol", wine[:, 1:], wine[:, 0]
    yield "iris petal width", iris[:, :3], iris[:, 3]
    rows = read("parkinsons-telemonitoring", "parkinsons_updrs.data", header=0)
    if rows is not None:
        yield "parkinsons total_UPDRS", np.delete(rows, [0, 4, 5], 1), rows[:, 5]
    rows = read("heart-disease-uci", "processed.cleveland.data")
    if rows is not None:
        yield "cleveland heart rate", np.delete(rows, 7, 1), rows[:, 7]
    rows = read("uci-medical-small", "pima-indians-diabetes.data.csv")
    if rows is not None:
        known = rows[rows[:, 5] > 0]
        yield "pima body mass", np.delete(known, 5, 1), known[:, 5]


def generated(number: int = 12) -> Iterator[Table]:
    """Yield large tables with classes from the prior, of a split that nothing was trained or chosen on."""
    prior = PriorTasks(Limits(1000, 300, 100, 10), 0, "limits", number, block=1, rows=1000)
    for i in range(number):
        task = prior.batch(torch.tensor([i]))
        x, y = (
            torch.cat([a[0], b[0]]).numpy().astype(float) for a, b in zip(task.support[:2], task.query[:2], strict=True)
        )
        yield f"generated {i}: {x.shape[1]} features, {int(y.max()) + 1} classes", x, y
