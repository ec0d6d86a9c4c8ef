"""`metarun data check PATH --as table|texts|clips|speakers|inputs`, and their templates: what a run would see."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from metarun.verbs.words import overrides, quoted

KINDS = {
    "table": "table_csv",
    "texts": "text_csv",
    "clips": "audio_folder",
    "speakers": "audio_speakers",
    "inputs": "inputs_csv",
}
RUNS = {
    "table": ["+experiment=table"],
    "texts": ["+experiment=clinc150", "dataset=text_csv"],
    "clips": ["+experiment=spoken_words", "dataset=audio_folder"],
    "speakers": ["+experiment=spoken_digits", "dataset=audio_speakers"],
    "inputs": ["+experiment=spoken_written_digits", "dataset=inputs_csv"],
}
EXAMPLES = {
    "table": "dataset.target=COLUMN", "texts": "dataset.label=COLUMN", "clips": "dataset.ways=[5]",
    "speakers": "dataset.test_group=NAME", "inputs": "dataset.images=[COLUMN]",
}  # fmt: skip
COLUMNS = {
    "table": ["dataset.target=ill", "dataset.group=clinic"],
    "texts": ["dataset.ways=[2]", "dataset.train_ways=[4]"],
    "clips": ["dataset.ways=[2]"],
    "speakers": ["dataset.supports=[0,5]", "dataset.queries=20"],
    "inputs": ["dataset.images=[photo]", "dataset.clips=[sound]", "dataset.numbers=[weight]", "dataset.group=shop"],
}


def template(kind: str, folder: Path) -> list[str]:
    """Write an example and return what to say. Raises MetarunError where the file is there already."""
    from metarun.data import row_template

    path = row_template.write(kind, folder)
    words = [f"dataset.path={quoted(path)}", *COLUMNS[kind]]
    return [
        f"wrote {path}: made up, to be replaced by yours",
        f"look at it:   metarun data check {shlex.quote(str(path))} --as {kind} {shlex.join(words[1:])}",
        f"run on it:    {shlex.join(['metarun', *RUNS[kind], *words])}",
    ]


def check(path: str, kind: str, words: Sequence[str]) -> Iterator[str]:
    """Read a file as a run would, under the same options, and yield what there is to say.

    Raises:
        MetarunError: a word that is no option of the dataset, or what a run would raise, after what can be said.
    """
    from metarun import build, config

    given = overrides(KINDS[kind], path, words, EXAMPLES[kind])
    run = [*RUNS[kind], *given, *fitting(given)]
    data = build.dataset(config.compose(run))
    table = data.table
    yield f"{table.name}: {len(table.label):,} rows"
    yield from labels(table)
    grouped = kind in ("table", "speakers", "inputs")
    if kind == "table":
        yield f"features: {', '.join(data.columns)}; as {data.inputs.shape[1]} numbers a row"
        yield from counted("groups", table.groups, table.group) if len(table.groups) > 1 else ["groups: none"]
    elif kind == "inputs":
        shares = {name: 100 * float(rows.float().mean()) for name, rows in data.there.items()}
        yield "inputs: " + ", ".join(f"{name} in {share:.0f} % of the rows" for name, share in shares.items())
        yield from counted("groups", table.groups, table.group) if len(table.groups) > 1 else ["groups: none"]
    elif kind == "speakers":
        yield from counted("speakers", table.groups, table.group)
    if kind in ("clips", "speakers"):
        _, bands, frames = data.inputs.shape[1:]
        yield f"a clip: {table.inputs.shape[1] / data.rate:g} s at {data.rate:,} Hz, as {bands} bands x {frames} frames"
    elif kind == "texts":
        yield f"vocabulary: {len(data.vocabulary):,} tokens of training texts, {data.inputs.shape[1]} a text at most"
    names = table.groups if grouped else table.classes
    if len(names) > 1:
        parts = data.parts
        yield "; ".join(f"{part}: {', '.join(names[place] for place in parts[part])}" for part in parts)
    for part in ("validation", "test"):
        data.tasks(part)
    data.train_tasks(1, 1, 0)
    yield from data.left_out()
    yield f"run it: {shlex.join(['metarun', *run])}"


def fitting(given: Sequence[str]) -> list[str]:
    """Return what a target of numbers asks for beside the dataset's own options."""
    if "dataset.labels=numbers" not in given:
        return []
    return ["objective=squared", "evaluate.metric=absolute_error", "strategy=transfer/l2sp",
            "evaluate.against=[baseline/logistic,baseline/boosting]"]  # fmt: skip


def labels(table: Any) -> Iterator[str]:
    """Yield a line about the labels."""
    if table.classes:
        yield from counted("labels", table.classes, table.label)
    else:
        yield f"labels: numbers from {table.label.min():g} to {table.label.max():g}, mean {table.label.mean():.4g}"


def counted(what: str, names: Sequence[str], number: Any) -> Iterator[str]:
    """Yield how many rows each name has, the first ten of them."""
    import numpy as np

    count = np.bincount(number, minlength=len(names))
    told = ", ".join(f"{name} {rows:,}" for name, rows in list(zip(names, count, strict=True))[:10])
    yield f"{what}: {len(names)}; {told}" + (f" and {len(names) - 10} more" if len(names) > 10 else "")
