"""Tumours of the breast as a dataset of runs."""

from __future__ import annotations

from metarun.data.labelled import LabelledRows
from metarun.data.table_data import TableData
from metarun.data.tables import medical


class BreastCancer(TableData):
    """569 tumours, benign or malignant; one hospital, so rows are split."""

    target = "diagnosis"
    kind = "sample"

    def read(self) -> LabelledRows:
        """Return the tumours."""
        rows, self.columns = medical.breast_cancer()
        return rows
