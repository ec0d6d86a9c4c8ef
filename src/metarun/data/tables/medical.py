"""Three medical tables: heart disease in four hospitals, Parkinson's in 42 patients, tumours of the breast."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metarun.data.images.official import data_folder
from metarun.data.labelled import LabelledRows, assemble
from metarun.errors import MetarunError

HEART = ["age", "sex", "cp", "trestbps", "chol", "fbs", "restecg", "thalach", "exang", "oldpeak", "slope", "ca", "thal"]
HEART_CATEGORIES = [2, 6, 10, 12]
ZERO_IS_A_HOLE = [3, 4]
"""Pressure and cholesterol: nobody has none, and Switzerland's cholesterol is 0 throughout."""
HOSPITALS = {"cleveland": 303, "hungarian": 294, "switzerland": 123, "va": 200}
SCORES = ("motor_UPDRS", "total_UPDRS")
HEART_HOME = "https://archive.ics.uci.edu/dataset/45/heart+disease"
PARKINSONS_HOME = "https://archive.ics.uci.edu/dataset/189/parkinsons+telemonitoring"


def heart(folder: Path | None) -> LabelledRows:
    """Return 920 people of four hospitals; the second class is narrowing of a vessel by half or more.

    Janosi, Steinbrunn, Pfisterer and Detrano, UCI, 1988.

    Raises:
        MetarunError: a file is not there or is another one.
    """
    home = found(folder, "heart-disease-uci", "processed.cleveland.data", "heart_disease", HEART_HOME)
    tables = []
    for name, rows in HOSPITALS.items():
        path = home / f"processed.{name}.data"
        tables.append(numbers(path, len(HEART) + 1, rows))
    table = np.concatenate(tables)
    inputs = table[:, :-1]
    for column in ZERO_IS_A_HOLE:
        inputs[inputs[:, column] == 0, column] = np.nan
    group = np.repeat(np.arange(len(tables)), [len(part) for part in tables])
    label = (table[:, -1] > 0).astype(np.int64)
    return assemble("heart disease", inputs, label, ["healthy", "diseased"], group, list(HOSPITALS))


def parkinsons(folder: Path | None, score: str) -> tuple[LabelledRows, list[str]]:
    """Return 5,875 recordings of 42 patients with a score of their illness, and the names of the columns.

    Tsanas, Little, McSharry and Ramig, IEEE Transactions on Biomedical Engineering 57(4), 2010.

    Raises:
        MetarunError: the file is not there or is another one.
    """
    home = found(folder, "parkinsons-telemonitoring", "parkinsons_updrs.data", "parkinsons", PARKINSONS_HOME)
    path = home / "parkinsons_updrs.data"
    names = path.read_text(encoding="utf-8").splitlines()[0].split(",")
    table = numbers(path, 22, 5875, header=True)
    kept = [place for place, name in enumerate(names) if name not in ("subject#", *SCORES)]
    patients, group = np.unique(table[:, 0].astype(int), return_inverse=True)
    label = table[:, names.index(score)].astype(np.float32)
    rows = assemble(f"parkinsons/{score}", table[:, kept], label, [], group, [f"patient {p}" for p in patients])
    return rows, [names[place] for place in kept]


def breast_cancer() -> tuple[LabelledRows, list[str]]:
    """Return 569 tumours as scikit-learn has them, malignant as the second class, and the names of the columns.

    Street, Wolberg and Mangasarian, 1993.

    Raises:
        MetarunError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_breast_cancer
    except ImportError as error:
        raise MetarunError(
            'The tumours come with scikit-learn, which is not installed: pip install "metarun[tables]"'
        ) from error
    given = load_breast_cancer()
    label = 1 - given.target.astype(np.int64)  # scikit-learn's 1 is benign
    return assemble("breast cancer", given.data, label, ["benign", "malignant"]), list(given.feature_names)


def found(folder: Path | None, inside: str, name: str, dataset: str, home: str) -> Path:
    """Return the folder with an official file. Raises MetarunError, which says how to get it, where there is none."""
    base = data_folder(folder)
    for place in (base / inside, base):
        if (place / name).is_file():
            return place
    raise MetarunError(
        f"dataset={dataset}: no {name} in {base / inside}: download it from {home} and put its files there, or set "
        "METARUN_DATA to the folder that has it"
    )


def numbers(path: Path, columns: int, rows: int, header: bool = False) -> NDArray[np.float64]:
    """Return a table (rows, columns) of numbers, "?" as nan. Raises MetarunError with the line that is wrong."""
    if not path.is_file():
        raise MetarunError(f"{path} is not there: put it beside the other files of its dataset")
    table = []
    for place, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        fields = line.strip().split(",")
        if (header and place == 1) or fields == [""]:
            continue
        try:
            table.append([np.nan if field.strip() == "?" else float(field) for field in fields])
        except ValueError as error:
            raise MetarunError(f"{path} line {place}: {error}") from None
        if len(fields) != columns:
            raise MetarunError(f"{path} line {place}: has {len(fields)} columns, {columns} were expected")
    if len(table) != rows:
        raise MetarunError(f"{path}: has {len(table)} rows and the official file has {rows}")
    return np.array(table)
