"""Error over the blocks of a stream for every method, and its difference to the reference, as one PNG."""

from __future__ import annotations

import io
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from metarun import atomic
from metarun.report import notation, plots

Lines = Mapping[str, Any]

APART = {"hindsight": (0, (1, 1.5)), "frozen": (0, (4, 2))}  # drawn as the strategy that they belong to, in dashes


def block_plot(summary: Mapping[str, Any], path: Path) -> None:
    """Draw every method's error in each block and, beside it, less the reference's; write a PNG atomically.

    Raises MetarunError where the file cannot be written.
    """
    found, metric, reference = summary["pass"], summary["metric"], summary["reference"]
    methods = notation.ordered(found["by_block"])
    styles = _styles(methods, reference, summary["winner"])
    lines = {method: np.array(found["by_block"][method], dtype=float) for method in methods}
    # Where each block ends, counted in ratings.
    step = (found["ratings"] - found["opening"]) / found["blocks"]
    x = found["opening"] + step * np.arange(1, found["blocks"] + 1)
    logging.getLogger("matplotlib").setLevel(logging.WARNING)  # its first use tells of a font cache
    with matplotlib.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(13, 5.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        label = notation.label(metric)
        cut = _panel(left, x, lines, styles, f"{label}, lower is better", label)
        less = {method: line - lines[reference] for method, line in lines.items() if method != reference}
        right.axhline(0, color="black", linestyle=(0, (5, 2)), linewidth=1.6, zorder=1)
        cut += _panel(right, x, less, styles, f"{label} less that of {reference}, block by block",
                      f"difference in {label}")  # fmt: skip
        below = [f"outside the frame, or in part: {', '.join(dict.fromkeys(cut))}"] if cut else []
        notes = [f"protocol {found['protocol']}", notation.setting(summary), f"{found['blocks']} equal blocks"]
        head = f"{summary['dataset']}: {label} of {found['ratings'] - found['opening']:,} ratings in time order"
        figure.suptitle(f"{head}\n{', '.join(notes)}", fontsize=11)
        handles = plots._legend(methods, styles, summary["winner"])
        figure.legend(handles=handles, loc="outside right upper", frameon=False)
        if summary["synthetic"]:
            below.append("synthetic data: a plumbing check, not evidence")
        figure.supxlabel("; ".join(below), fontsize=8.5, color="#606060")
        png = io.BytesIO()
        # No software version in the file: the same run gives the same bytes.
        figure.savefig(png, format="png", dpi=150, metadata={"Software": None})
    atomic.write(Path(path), lambda file: file.write(png.getvalue()))


def _styles(methods: Sequence[str], reference: str, winner: str | None) -> dict[str, Any]:
    """Return a line style per method without markers, which dozens of blocks would run into one another."""
    styles = plots._styles([m for m in methods if notation.family(m) not in APART], reference, winner)
    for method in methods:
        family, _, own = method.partition("/")
        if family in APART:
            styles[method] = {**styles[own], "linestyle": APART[family], "linewidth": 1.3, "zorder": 6}
    return {method: {k: v for k, v in style.items() if "marker" not in k} for method, style in styles.items()}


def _panel(axes: Any, x: Any, lines: Lines, styles: Lines, title: str, label: str) -> list[str]:
    """Draw one line per method; cut the axis where a few bad ones would flatten the rest, and return what leaves it."""
    for method, line in lines.items():
        axes.plot(x, line, **styles[method])
    known = {method: line for method, line in lines.items() if np.isfinite(line).all()}
    if known:
        middle = np.median([line.mean() for line in known.values()])
        near = [line for line in known.values() if line.mean() <= middle]
        low, high = np.min(near), np.max(near)
        room = 0.25 * (high - low) or 0.01
        axes.set_ylim(low - 0.3 * room, high + 2 * room)
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_ylabel(label)
    axes.set_xlabel("ratings so far")
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    top = axes.get_ylim()[1]
    return [method for method, line in lines.items() if method not in known or line.max() > top]
