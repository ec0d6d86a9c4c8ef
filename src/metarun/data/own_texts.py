"""Texts of the user's own: a table with a column of texts and one of labels, or one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from metarun.data.labelled import LabelledRows, assemble
from metarun.data.tabular import ID, WORDS, check_column, open_table
from metarun.errors import MetarunError

LINES = (".jsonl", ".ndjson")
Found = tuple[str, str, str]
"""Where a row is ("line 17"), its text and its label."""


def read(path: Path, text: str, label: str, separator: str, encoding: str, columns: list[str] | None) -> LabelledRows:
    """Return the rows; `text` and `label` name the columns.

    Raises:
        MetarunError: whatever is wrong in the file, with its line and column.
    """
    lines = path.suffix.lower() in LINES
    rows = objects(path, text, label, encoding) if lines else table(path, text, label, separator, encoding, columns)
    texts, labels = [], []
    for place, said, name in rows:
        for option, column, value in (("text", text, said), ("label", label, name)):
            if not value.strip():
                raise MetarunError(
                    f"{path} {place}: column '{column}' (dataset.{option}) is empty; fill it, or delete the row"
                )
        texts.append(said.strip())
        labels.append(name.strip())
    classes = sorted(set(labels))
    if len(classes) < 2:
        found = f"has one label only ('{classes[0]}')" if classes else "has no row"
        raise MetarunError(f"{path}: column '{label}' (dataset.label) {found}; texts of two labels or more are learned")
    number = {name: place for place, name in enumerate(classes)}
    found_labels = np.array([number[name] for name in labels], np.int64)
    return assemble(f"text_csv/{path.stem}", np.array(texts, dtype=object), found_labels, classes)


def table(
    path: Path, text: str, label: str, separator: str, encoding: str, columns: list[str] | None
) -> Iterator[Found]:
    """Yield the rows of a CSV, TSV or Parquet file."""
    opened = open_table(path, "dataset.path", separator, encoding, columns)
    for option, column in (("dataset.text", text), ("dataset.label", label)):
        check_column(path, option, column, opened.names)
    row = 0
    for chunk in opened.chunks({text: WORDS, label: ID}):
        for said, name in zip(chunk[text].fillna("").astype(str), chunk[label].astype(object), strict=True):
            yield opened.place(row), said, "" if name is None or name != name else str(name)
            row += 1


def objects(path: Path, text: str, label: str, encoding: str) -> Iterator[Found]:
    """Yield the rows of a file with one JSON object a line."""
    try:
        content = path.read_text(encoding=encoding)
    except FileNotFoundError:
        raise MetarunError(f"dataset.path={path}: no such file") from None
    except LookupError:
        raise MetarunError(f"dataset.encoding={encoding}: no such encoding; give utf-8, latin-1 or the like") from None
    except UnicodeDecodeError as error:
        wrong = path.read_bytes()[: error.start].count(b"\n") + 1
        raise MetarunError(
            f"{path} line {wrong}: is not {encoding} text; set dataset.encoding, e.g. gb18030 or latin-1"
        ) from None
    if not content.strip():
        raise MetarunError(f"{path}: is empty")
    for number, line in enumerate(content.split("\n"), 1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except json.JSONDecodeError as error:
            raise MetarunError(f"{path} line {number}: is no JSON ({error.msg} at column {error.colno})") from None
        if not isinstance(found, dict):
            raise MetarunError(f'{path} line {number}: is no JSON object such as {{"{text}": "...", "{label}": "..."}}')
        for option, column in (("dataset.text", text), ("dataset.label", label)):
            check_column(path, option, column, list(found))
            if not isinstance(found[column], str | int):
                raise MetarunError(f"{path} line {number}: column '{column}' ({option}) is no text")
        yield f"line {number}", str(found[text]), str(found[label])
