"""Error against support size for every method, and its paired difference to the reference, as one PNG."""

from __future__ import annotations

import io
import logging
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from metarun import atomic
from metarun.report import notation
from metarun.report.palette import GREYS, HUES

DASHES = ((4, 2), (1, 1.5), (6, 2, 1, 2), (3, 1.2, 1, 1.2, 1, 1.2), (8, 3), (2, 2))
MARKERS = "osD^vP"
WIDE = 110
"""Characters of a title's line: a longer one runs into the legend."""
Style = dict[str, Any]


def support_plot(summary: Mapping[str, Any], path: Path, metric: str | None = None, cell: str | None = None) -> None:
    """Draw the values with interval bands and, where there are any, the paired differences; write a PNG atomically.

    The scale is cut where a few bad values would flatten all others; what leaves the frame is named below it.
    Raises MetarunError where the file cannot be written.
    """
    metric, cell = metric or summary["metric"], cell or notation.cells(summary)[0]
    sizes: Mapping[str, Any] = summary["test"][cell]
    methods = notation.ordered(method for found in sizes.values() for method in found)
    ranked = summary.get("protocol", "tasks") != "tasks"
    # The oracle of a ranking lies far above every method and would flatten them.
    apart = [method for method in methods if ranked and notation.last(method) == "oracle"]
    methods = [method for method in methods if method not in apart]
    per_user = notation.given(summary) == "support ratings"
    known = "known interactions" if ranked else f"{notation.given(summary)}{' per user' if per_user else ''}"
    reference = summary.get("reference", "baseline/ridge")
    styles = _styles(methods, reference, summary.get("winner"))
    pairs = notation.pairs(summary, metric, cell)
    # Figure rather than pyplot: it draws with Agg, needs no display and leaves the caller's backend alone.
    logging.getLogger("matplotlib").setLevel(logging.WARNING)  # its first use tells of a font cache
    with matplotlib.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(13, 5.6) if pairs else (8.6, 5.6), layout="constrained")
        panels = figure.subplots(1, 2 if pairs else 1, squeeze=False)
        cut = _values_panel(panels[0, 0], sizes, methods, metric, styles, (reference, summary.get("winner")), known)
        if pairs:
            cut += _pairs_panel(panels[0, 1], pairs, methods, metric, styles, reference, known)
        _words(figure, summary, metric, cell, list(dict.fromkeys(cut)), apart)
        figure.legend(handles=_legend(methods, styles, summary.get("winner")), loc="outside right upper", frameon=False)
        png = io.BytesIO()
        # No software version in the file: the same run gives the same bytes.
        figure.savefig(png, format="png", dpi=150, metadata={"Software": None})
    atomic.write(Path(path), lambda file: file.write(png.getvalue()))


def _values_panel(
    axes: Any,
    sizes: Mapping[str, Any],
    methods: Sequence[str],
    metric: str,
    styles: Mapping[str, Style],
    strong: Sequence[str | None],
    known: str,
) -> list[str]:
    """Draw every method's values with their intervals; return what leaves the frame."""
    lines = {m: [_pair(found.get(m, {}).get(metric), "value") for found in sizes.values()] for m in methods}
    for method, points in lines.items():
        # Bands of a dozen methods cover each other: strong for the two that the verdict compares, faint for the others.
        _line(axes, points, styles[method], 0.16 if method in strong else 0.05)
    higher = notation.higher_is_better(metric)
    axes.set_title(f"{notation.label(metric)}, {'higher' if higher else 'lower'} is better", loc="left", fontsize=10)
    axes.set_ylabel(notation.label(metric))
    _frame(axes, list(sizes), known)
    return _cut(axes, lines, -1 if higher else 1)


def _pairs_panel(
    axes: Any,
    pairs: Mapping[str, Any],
    methods: Sequence[str],
    metric: str,
    styles: Mapping[str, Style],
    reference: str,
    known: str,
) -> list[str]:
    """Draw the paired differences to the reference, whose own line is 0; return what leaves the frame."""
    compared = [m for m in methods if any(m in found for found in pairs.values())]
    lines = {m: [_pair(found.get(m), "difference") for found in pairs.values()] for m in compared}
    axes.axhline(0, color="black", linestyle=(0, (5, 2)), linewidth=1.6, zorder=1)
    for method, points in lines.items():
        _line(axes, points, styles[method], 0.0 if notation.family(method) == "baseline" else 0.16)
    axes.set_title(f"paired difference to {reference}, with 95 % interval", loc="left", fontsize=10)
    axes.set_ylabel(f"difference in {notation.label(metric)}")
    _frame(axes, list(pairs), known)
    higher = notation.higher_is_better(metric)
    return _cut(axes, lines, -1 if higher else 1, keep=0.0)


def _line(axes: Any, points: Sequence[tuple[float, float]], style: Style, alpha: float) -> None:
    """Draw one line (sizes,) and its band; a gap where a value is missing or diverged."""
    x = np.arange(len(points))
    value, half = np.array(points, dtype=float).T
    axes.plot(x, value, **style)
    if alpha:
        axes.fill_between(x, value - half, value + half, color=style["color"], alpha=alpha, linewidth=0, zorder=0)


def _frame(axes: Any, sizes: Sequence[str], known: str) -> None:
    """Set evenly spaced support sizes, named as what is `known` of a user, and a light grid."""
    axes.set_xticks(range(len(sizes)), sizes)
    axes.set_xlim(-0.15, len(sizes) - 0.85)
    axes.set_xlabel(known)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)


def _cut(
    axes: Any, lines: Mapping[str, Sequence[tuple[float, float]]], bad: int, keep: float | None = None
) -> list[str]:
    """Bound the axis on its bad side (1 above, -1 below) by 2.5 times the distance of the median from the best.

    Returns the methods with a value outside, or without one; `keep` stays inside.
    """
    values = {method: bad * np.array([value for value, _ in points]) for method, points in lines.items()}
    known = np.concatenate([v[np.isfinite(v)] for v in values.values()] or [np.zeros(0)])
    if keep is not None:
        known = np.append(known, bad * keep)
    if known.size == 0:
        return list(values)
    best, middle = known.min(), np.median(known)
    limit = min(known.max(), best + 2.5 * (middle - best)) if middle > best else known.max()
    # The band of the best stays inside as a whole.
    halves = [half for points in lines.values() for value, half in points if bad * value == best and half == half]
    room = 0.04 * (limit - best) or 0.01
    low, high = sorted((bad * (best - max(halves, default=0.0) - room), bad * (limit + room)))
    axes.set_ylim(low, high)
    return [method for method, v in values.items() if not np.all(np.isfinite(v)) or (v > limit + room).any()]


def _pair(found: Mapping[str, Any] | None, key: str) -> tuple[float, float]:
    """Return (value, half-width) of an entry, nan where there is none."""
    if not found or found[key] is None:
        return float("nan"), float("nan")
    return found[key], float("nan") if found["ci95"] is None else found["ci95"]


def _styles(methods: Sequence[str], reference: str, winner: str | None) -> dict[str, Style]:
    """Return a line style per method: baselines grey and dashed, the reference black, the others coloured."""
    styles: dict[str, Style] = {}
    counts: dict[str, int] = {}
    for method in methods:
        family = notation.family(method)
        number = counts[family] = counts.get(family, -1) + 1
        if method == reference:
            style: Style = {"color": "black", "linestyle": (0, (5, 2)), "linewidth": 1.8, "zorder": 3}
        elif family not in HUES:
            dash = (0, DASHES[number % len(DASHES)])
            style = {"color": GREYS[number % len(GREYS)], "linestyle": dash, "linewidth": 1.5, "zorder": 2}
        else:
            style = {
                "color": HUES[family][number % len(HUES[family])],
                "linewidth": 1.6,
                "zorder": 4,
                "markersize": 4.5,
            }
            style["marker"] = MARKERS[number % len(MARKERS)]
        if method == winner:
            style |= {"linewidth": 2.8, "zorder": 5}
        styles[method] = style
    return styles


def _legend(methods: Sequence[str], styles: Mapping[str, Style], winner: str | None) -> list[Line2D]:
    """Return one handle per method, in the order of the tables; the one that validation chose says so."""
    names = [f"{method} (chosen)" if method == winner else method for method in methods]
    keys = ("color", "linestyle", "linewidth", "marker", "markersize")
    handles = [{key: styles[method][key] for key in keys if key in styles[method]} for method in methods]
    return [Line2D([], [], label=name, **handle) for name, handle in zip(names, handles, strict=True)]


def _words(
    figure: Any, summary: Mapping[str, Any], metric: str, cell: str, cut: Sequence[str], apart: Sequence[str]
) -> None:
    """Write the title (data, cell, protocol, users, split) and, below, what leaves the frame or stays `apart`."""
    users = [e["n"] for found in summary["test"][cell].values() for m in found.values() for e in m.values()]
    settings = [f"protocol {summary.get('protocol', 'tasks')}", notation.setting(summary)]
    unit = notation.unit(summary)
    head = f"{summary['dataset']}: {notation.label(metric)} of {max(users, default=0):,} {cell} test {unit}"
    told = f"{', '.join(filter(None, settings))}; bands: 95 % interval over {unit}"
    figure.suptitle(f"{head}\n{textwrap.fill(told, WIDE)}", fontsize=11)
    notes = [f"outside the frame, or in part: {', '.join(cut)}"] if cut else []
    for method in apart:
        found = [methods.get(method, {}).get(metric) for methods in summary["test"][cell].values()]
        ends = dict.fromkeys(notation.short(e["value"]) for e in found if e and e["value"] is not None)
        notes.append(f"{' '.join([notation.last(method), ' / '.join(ends)]).strip()}, not drawn")
    if summary["synthetic"]:
        notes.append("synthetic data: a plumbing check, not evidence")
    if notes:
        figure.supxlabel("; ".join(notes), fontsize=8.5, color="#606060")
