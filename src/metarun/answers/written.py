"""Recommendations as a file: CSV, JSON or Parquet, by the ending of its name."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metarun import atomic
from metarun.answers.sheets import pyarrow
from metarun.errors import MetarunError

ENDINGS = (".csv", ".json", ".parquet")


def check(path: Path) -> None:
    """Raise MetarunError for a file that could not be written, before anything is computed."""
    if path.suffix.lower() not in ENDINGS:
        raise MetarunError(f"--out {path}: the name must end in {', '.join(ENDINGS)}")
    if not path.absolute().parent.is_dir():
        raise MetarunError(f"--out {path}: there is no folder {path.absolute().parent}")
    if path.suffix.lower() == ".parquet":
        pyarrow(path)


def write(path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    """Write columns of equal length whole or not at all."""
    ending = path.suffix.lower()
    if ending == ".parquet":
        arrow = pyarrow(path)
        table = arrow.table(dict(columns))
        atomic.write(path, lambda file: arrow.parquet.write_table(table, file))
        return
    rows = zip(*columns.values(), strict=True)
    buffer = io.StringIO(newline="")
    if ending == ".json":
        json.dump([dict(zip(columns, row, strict=True)) for row in rows], buffer, indent=1, ensure_ascii=False)
        buffer.write("\n")
    else:
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
    atomic.write_text(path, buffer.getvalue())
