"""Whom a finished run serves how well: errors by group with intervals, and whether its probabilities hold.

Hardt, Price and Srebro, "Equality of opportunity in supervised learning", NIPS 2016; Niculescu-Mizil and Caruana,
"Predicting good probabilities with supervised learning", ICML 2005 (reliability).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metarun.answers.rows import Prediction, RowAnswers
from metarun.data.tabular import ID, check_column, coded, open_table
from metarun.errors import MetarunError

MOST = 10
"""Values of the column by which people are told apart."""
DRAWS = 1000
"""Bootstrap samples behind an interval."""
BINS = 10
Metrics = dict[str, Callable[[Any, Any], float]]


class Gap(NamedTuple):
    """A metric by group."""

    metric: str
    groups: dict[str, float]
    gap: float  # largest less smallest
    low: float  # 95 % interval of the gap
    high: float


class Reliability(NamedTuple):
    """How often predictions of a confidence are right, in bins of as many rows."""

    confidence: NDArray[np.float64]  # (B,)
    right: NDArray[np.float64]  # (B,)
    error: float  # expected calibration error: mean distance of the two


class Audit(NamedTuple):
    """What was found of one state of a model."""

    gaps: list[Gap]
    reliability: Reliability


def groups(path: Path, column: str) -> NDArray[np.object_]:
    """Return the value (N,) of a column in each row of a query file.

    Raises:
        MetarunError: no such column, an empty field, one value alone or more than MOST.
    """
    table = open_table(path, "--query", "auto", "utf-8", None)
    check_column(path, "--by", column, table.names)
    found: list[str] = []
    for chunk in table.chunks({column: ID}):
        code, texts = coded(chunk[column])
        if (code < 0).any():
            row = len(found) + int(np.flatnonzero(code < 0)[0])
            raise MetarunError(f"{path} {table.place(row)}: column '{column}' is empty: fill it in")
        found += texts[code].tolist()
    number = len(set(found))
    if not 2 <= number <= MOST:
        raise MetarunError(
            f"--by {column}: {path} has {number} different values in it, and gaps are told between 2 to {MOST} groups"
            + (": cut it into ranges first, such as '60 and older'" if number > MOST else "")
        )
    return np.array(found, dtype=object)


def audit(
    answers: RowAnswers, support: Path | None, query: Path, by: str, positive: str | None
) -> tuple[NDArray[np.object_], dict[str, Audit]]:
    """Return the group (N,) of each query row, and what was found "before" and "after" adapting to the support.

    positive: the class that is looked for, of two the later one by alphabet if None. Before there is where labels mean
    the same in every task.

    Raises:
        MetarunError: as `groups` and `RowAnswers.rows`; labels that are missing, or numbers; no such class.
    """
    kind = groups(query, by)
    states: dict[str, Path | None] = {"before": None} if answers.found.shared else {}
    if support is not None:
        states["after"] = support
    found = {}
    for name, given in states.items():
        prediction = answers.predict(given, query)
        if prediction.truth is None or not prediction.classes:
            raise MetarunError(f"--query {query}: an audit compares classes with what is true: give their column too")
        found[name] = Audit(gaps(prediction, kind, sought(prediction.classes, positive)), reliability(prediction))
    if not found:
        raise MetarunError(f"audit: {answers.found.name} adapts to new classes: give labelled rows, --support FILE")
    return kind, found


def sought(classes: list[str], positive: str | None) -> str | None:
    """Return the class that is looked for, None where there are more than two and none is named."""
    if positive is not None and positive not in classes:
        raise MetarunError(f"--positive {positive}: the run knows no such class; choose {', '.join(classes)}")
    return positive or (classes[-1] if len(classes) == 2 else None)


def gaps(prediction: Prediction, kind: NDArray[np.object_], positive: str | None) -> list[Gap]:
    """Return each metric by group, and its gap with a percentile bootstrap interval over rows."""
    try:
        from fairlearn.metrics import MetricFrame
    except ImportError as error:
        raise MetarunError('an audit needs fairlearn, which is not installed: pip install "metarun[tables]"') from error
    frame = MetricFrame(
        metrics=measured(positive), y_true=prediction.truth, y_pred=prediction.label, sensitive_features=kind,
        n_boot=DRAWS, ci_quantiles=[0.025, 0.975], random_state=0,
    )  # fmt: skip
    low, high = frame.difference_ci()
    return [
        Gap(name, {str(k): float(v) for k, v in frame.by_group[name].items()}, float(frame.difference()[name]),
            float(low[name]), float(high[name]))
        for name in measured(positive)
    ]  # fmt: skip


def measured(positive: str | None) -> Metrics:
    """Return accuracy, and of a class that is looked for how often it is predicted, found, and rightly ruled out."""
    from fairlearn.metrics import selection_rate, true_negative_rate, true_positive_rate
    from sklearn.metrics import accuracy_score

    def asked(metric: Callable[..., float]) -> Callable[[Any, Any], float]:
        return lambda true, found: metric(true == positive, found == positive, pos_label=True)

    rates = {
        f"predicted {positive}": selection_rate, "sensitivity": true_positive_rate, "specificity": true_negative_rate
    }  # fmt: skip
    return {"accuracy": accuracy_score, **({name: asked(rate) for name, rate in rates.items()} if positive else {})}


def reliability(prediction: Prediction) -> Reliability:
    """Return confidence and share of right predictions in bins of as many rows, the least confident first."""
    sure, right = prediction.chance.max(1), prediction.label == prediction.truth
    parts = np.array_split(np.argsort(sure, kind="stable"), min(BINS, len(sure)))
    confidence, share = (np.array([values[rows].mean() for rows in parts]) for values in (sure, right))
    size = np.array([len(rows) for rows in parts])
    return Reliability(confidence, share, float((np.abs(confidence - share) * size).sum() / size.sum()))


def plot(found: dict[str, Audit], path: Path) -> None:
    """Write a reliability plot: on the diagonal a model is right as often as it says."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="#8c8c8c", linestyle=":", label="as often as said")
    for (name, audited), colour, mark in zip(found.items(), ("#e08a00", "#1f6fb4"), "so", strict=False):
        line = audited.reliability
        told = f"{name} adapting, mean distance {line.error:.3f}"
        axes.plot(line.confidence, line.right, color=colour, marker=mark, label=told)
    axes.set(xlabel="probability of what is predicted", ylabel="share that is right", xlim=(0, 1.02), ylim=(0, 1.02))
    axes.legend(loc="upper left", frameon=False, fontsize=8)
    figure.savefig(path, dpi=150)
