"""What a run found: one value per task, and the lines of metrics.jsonl made from them.

>>> a = Score("test", "tasks", "meta/maml", "user-cold", 5, "mse", np.arange(2), np.array([1.0, 7.0]))
>>> [(row["metric"], row["value"]) for row in rows([a], round=0, stage="evaluate", seed=0)]
[('rmse', 2.0)]
"""

from __future__ import annotations

import csv
import io
import json
import math
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metarun import atomic
from metarun.arrays import read_npz
from metarun.errors import MetarunError
from metarun.metrics.interval import BY_ROW, Estimate, estimate, paired

SUMMARY = "summary.json"
"""The last file of a run: where it lies the run is finished."""
KEYS = (
    "round", "stage", "split", "protocol", "method", "cell", "support",
    "step", "metric", "value", "ci95", "n", "seed", "params",
)  # fmt: skip


class Score(NamedTuple):
    """One method's value on every task: ids int64 (T,), each once, and values float64 (T,).

    protocol spells its settings ("tasks", "rated-only/threshold=4"). Squared error is kept per task as "mse" and
    reported as "rmse"; "precision@20" and "recall@20" together also give "f1@20". Where tasks have unequal numbers of
    rows, a score "rows" beside the errors makes every row count alike.
    """

    split: str
    protocol: str
    method: str
    cell: str
    support: int | None
    metric: str
    ids: NDArray[np.int64]
    values: NDArray[np.float64]

    @property
    def place(self) -> tuple[str, str, str, str, int | None]:
        """Return everything but the metric and the tasks."""
        return self[:5]


def reported(scores: Iterable[Score]) -> list[tuple[Score, str, NDArray[np.float64]]]:
    """Return (score, reported metric, values as `estimate` wants them) for every metric that a table may show.

    Raises ValueError for a method judged twice, for ids and values that do not match, and for ids that repeat.
    """
    kept: dict[tuple[object, ...], Score] = {}
    single: dict[int, bool] = {}
    for score in scores:
        key = (*score.place, score.metric)
        if key in kept:
            raise ValueError(f"judged twice: {key}")
        if id(score.ids) not in single:  # scores of the same tasks share one array
            single[id(score.ids)] = len(np.unique(score.ids)) == len(score.ids)
        if score.ids.shape != score.values.shape or not single[id(score.ids)]:
            raise ValueError(f"one value per task: {len(score.ids)} ids, {len(score.values)} values in {key}")
        kept[key] = score
    found = []
    for score in kept.values():
        metric, _, at = score.metric.partition("@")
        if metric == "rows":
            continue
        weight = kept.get((*score.place, "rows")) if metric in ("mse", *BY_ROW) else None
        values = score.values if weight is None else np.stack([score.values, aligned(score, weight)], axis=1)
        found.append((score, "rmse" if metric == "mse" else score.metric, values))
        recall = kept.get((*score.place, f"recall@{at}"))
        if metric == "precision" and recall is not None:
            both = np.stack([score.values, aligned(score, recall)], axis=1)
            found.append((score, f"f1@{at}", both))
    return found


def aligned(a: Score, b: Score) -> NDArray[np.float64]:
    """Return b's values in the order of a's tasks; raises ValueError where they are not the same tasks."""
    order_a, order_b = np.argsort(a.ids), np.argsort(b.ids)
    if not np.array_equal(a.ids[order_a], b.ids[order_b]):
        raise ValueError(
            f"not the same tasks: {a.method} {a.metric} and {b.method} {b.metric} ({a.protocol}, {a.cell})"
        )
    values = np.empty_like(b.values)
    values[order_a] = b.values[order_b]
    return values


def difference(a: Score, b: Score) -> Estimate:
    """Return a - b in the reported metric (rmse for "mse") on the tasks they share, which must be all of them."""
    return paired(a.values, aligned(a, b), "rmse" if a.metric == "mse" else a.metric)


def rows(
    scores: Iterable[Score],
    round: int | None,
    stage: str | None,
    seed: int,
    params: Mapping[str, Any] | None = None,
    step: int | None = None,
) -> list[dict[str, Any]]:
    """Return the lines of metrics.jsonl, one per reported metric, with exactly the keys KEYS.

    A value that is not a number, or infinite (a method that diverged, an interval over one task), is None.
    """
    lines = []
    for score, metric, values in reported(scores):
        found = estimate(values, metric)
        line = dict(score._asdict(), round=round, stage=stage, step=step, metric=metric, seed=seed)
        line.update(
            value=finite(found.value), ci95=finite(found.ci95), n=found.n, params=dict(params) if params else None
        )
        lines.append({key: line[key] for key in KEYS})
    return lines


def objective(summary: Mapping[str, Any]) -> float | None:
    """Return what a search over runs goes by: the validation value of the run's last strategy, None without one."""
    chain = summary.get("chain") or [None]
    value: float | None = summary.get("validation", {}).get(chain[-1])
    return value


def finite(value: float) -> float | None:
    """Return the value as JSON can hold it: None where it is infinite or not a number."""
    return float(value) if math.isfinite(value) else None


def write_json(path: Path, content: Any) -> None:
    """Write one JSON document atomically; raises MetarunError where the disk refuses."""
    atomic.write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False, default=_plain) + "\n")


def write_jsonl(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object per line atomically, replacing the file; raises MetarunError where the disk refuses."""
    text = [json.dumps(dict(line), ensure_ascii=False, allow_nan=False, default=_plain) for line in lines]
    atomic.write_text(path, "".join(f"{line}\n" for line in text))


def write_csv(path: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    """Write the same lines as a table, the values of `params` in columns of their own; raises MetarunError as above."""
    names = dict.fromkeys(name for line in lines for name in line["params"] or {})
    text = io.StringIO()
    table = csv.DictWriter(text, [*KEYS[:-1], *(f"params.{name}" for name in names)], lineterminator="\n")
    table.writeheader()
    for line in lines:
        params = {f"params.{name}": value for name, value in (line["params"] or {}).items()}
        table.writerow({name: line[name] for name in KEYS[:-1]} | params)
    atomic.write_text(path, text.getvalue())


def write_values(folder: Path, scores: Iterable[Score], lines: Sequence[Mapping[str, Any]]) -> None:
    """Write what a run is compared by: the scores of every task, and the lines of metrics in both forms."""
    save_scores(folder / "task_scores.npz", scores)
    write_jsonl(folder / "metrics.jsonl", lines)
    write_csv(folder / "metrics.csv", lines)


def read_json(path: Path) -> Any:
    """Return what `write_json` wrote; raises MetarunError for a file that is missing or cut short."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MetarunError(f"cannot read {path}: {error}") from error


def save_scores(path: Path, scores: Iterable[Score]) -> None:
    """Write task_scores.npz atomically: `index` holds one JSON line per score, which names its arrays.

    Methods are judged on the same tasks, so equal ids are stored once. Nothing is pickled.
    """
    index: list[str] = []
    arrays: dict[str, Any] = {}
    seen: dict[bytes, str] = {}
    for number, score in enumerate(scores):
        ids = np.ascontiguousarray(score.ids, dtype=np.int64)
        name = seen.setdefault(ids.tobytes(), f"ids_{len(seen)}")
        arrays[name] = ids
        arrays[f"values_{number}"] = np.asarray(score.values, dtype=np.float64)
        fields = {key: value for key, value in score._asdict().items() if key not in ("ids", "values")}
        index.append(json.dumps(fields | {"ids": name, "values": f"values_{number}"}))
    arrays["index"] = np.array(index, dtype=np.str_)
    atomic.write(path, lambda file: np.savez_compressed(file, **arrays))


def load_scores(path: Path) -> list[Score]:
    """Return what `save_scores` wrote, in its order; raises MetarunError for a file that is missing or broken."""
    try:
        cache = read_npz(Path(path))
        lines = [json.loads(str(line)) for line in cache["index"]]
        return [Score(**line | {key: cache[line[key]] for key in ("ids", "values")}) for line in lines]
    except (
        OSError,
        EOFError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        struct.error,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise MetarunError(f"cannot read the task scores in {path}: {error}") from error


def _plain(value: object) -> object:
    """Return numpy and torch scalars as Python's own."""
    if isinstance(value, np.generic) or hasattr(value, "item"):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} does not fit in JSON: {value!r}")
