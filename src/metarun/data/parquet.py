"""Parquet tables, through pyarrow, which is an extra."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from metarun.data import tabular
from metarun.errors import MetarunError


class ParquetTable:
    """A Parquet file; see `tabular.Table`."""

    how = "Parquet"

    def __init__(self, path: Path) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError:
            raise MetarunError(
                f"{path}: Parquet needs pyarrow: pip install pyarrow, or save the table as CSV"
            ) from None
        self.path = path
        try:
            self.file = pyarrow.parquet.ParquetFile(path)
        except pyarrow.ArrowException as error:
            raise MetarunError(f"{path}: is no whole Parquet file ({str(error).splitlines()[0][:120]})") from None
        self.names = list(self.file.schema_arrow.names)
        if not self.file.metadata.num_rows:
            raise MetarunError(f"{path}: has columns, but no rows")

    def chunks(self, kinds: dict[str, str]) -> Iterator[dict[str, Any]]:
        """Yield column -> Series, at most CHUNK rows each."""
        import pandas as pd
        import pyarrow

        before = 0
        try:
            for batch in self.file.iter_batches(tabular.CHUNK, columns=list(dict.fromkeys(kinds))):
                frame = batch.to_pandas(integer_object_nulls=True)  # as floats, long ids would change
                for name, kind in kinds.items():
                    if kind == tabular.NUMBER:
                        frame[name] = self._numbers(frame[name], before)
                    elif kind == tabular.WORDS:
                        texts = [tabular.text_of(v) for v in frame[name]]
                        frame[name] = pd.Series(texts, dtype="str").where(frame[name].notna())
                before += len(frame)
                yield {name: frame[name] for name in kinds}
        except pyarrow.ArrowException as error:
            raise MetarunError(f"{self.path}: is no whole Parquet file ({str(error).splitlines()[0][:120]})") from None

    def _numbers(self, series: Any, before: int) -> Any:
        """Return a column as float64; dates become seconds since 1970."""
        import pandas as pd

        if pd.api.types.is_datetime64_any_dtype(series.dtype):
            seconds = pd.to_datetime(series, utc=True).dt.tz_localize(None).astype("datetime64[ns]")
            return (seconds.astype("int64") // 10**9).astype("float64").where(series.notna())
        number = pd.to_numeric(series, errors="coerce").astype("float64")
        wrong = (number.isna() & series.notna()).to_numpy()
        if wrong.any():
            row = int(wrong.argmax())
            raise MetarunError(
                f"{self.path} row {before + row + 1}: column '{series.name}': '{series.iloc[row]}' is not a number"
            )
        return number

    def place(self, row: int) -> str:
        """Return the row, counted from 1."""
        return f"row {row + 1}"

    def first(self, column: str, wrong: Callable[[str], str | None]) -> tuple[str, str] | None:
        """Return the row and the reason of the first wrong field of a column."""
        row = 0
        for chunk in self.chunks({column: tabular.WORDS}):
            for text, there in zip(chunk[column], chunk[column].notna(), strict=True):
                reason = wrong(text if there else "")
                row += 1
                if reason:
                    return f"row {row}", reason
        return None

    def numeric(self, column: str) -> bool:
        """Return whether a column holds numbers or dates."""
        import pyarrow.types as kinds

        kind = self.file.schema_arrow.field(column).type
        return not (kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_dictionary(kind))
