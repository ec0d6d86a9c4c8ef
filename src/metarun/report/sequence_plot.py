"""A sequence of tasks at a glance: accuracy on all tasks so far, and the accuracy matrix of every method."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from metarun import atomic
from metarun.report import notation, plots

SHOWN = 8
"""Methods whose matrix is drawn at most, the strategies first."""


def sequence_plot(summary: Mapping[str, Any], matrices: Mapping[str, NDArray[np.float64]], path: Path) -> None:
    """Draw the curve of every method and, beside it, accuracy on task j after task i.

    Raises MetarunError where the file cannot be written.
    """
    methods = sorted(matrices, key=lambda name: notation.family(name) == "baseline")[:SHOWN]
    sizes: Mapping[str, Any] = next(iter(summary["test"].values()))
    styles = plots._styles(list(methods), summary["reference"], None)
    columns = -(-len(methods) // 2)
    with matplotlib.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(6.5 + 2.6 * columns, 5.6), layout="constrained")
        grid = figure.add_gridspec(2, columns + 2)
        axes = figure.add_subplot(grid[:, :2])
        for method in methods:
            entries = [sizes[size][method]["accuracy"] for size in sizes]
            value = [entry["value"] for entry in entries]
            axes.errorbar(list(map(int, sizes)), value, [entry["ci95"] or 0 for entry in entries], capsize=2,
                          label=notation.last(method), **styles[method])  # fmt: skip
        axes.set(ylim=(0, 1), xlabel="tasks learned", ylabel="accuracy on held-out rows of all of them")
        axes.legend(frameon=False, loc="lower left", fontsize=8)
        for place, method in enumerate(methods):
            one = figure.add_subplot(grid[place // columns, 2 + place % columns])
            one.imshow(matrices[method][1:], vmin=0, vmax=1, cmap="viridis", aspect="equal")
            one.set_title(notation.last(method), fontsize=9)
            one.set(xticks=[], yticks=[], xlabel="task", ylabel="after task")
        figure.suptitle(f"{summary['dataset']}: {summary['protocol']}, {notation.setting(summary)}", fontsize=10)
        png = io.BytesIO()
        figure.savefig(png, format="png", dpi=130, metadata={"Software": None})
    atomic.write(Path(path), lambda file: file.write(png.getvalue()))
