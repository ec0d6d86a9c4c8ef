"""A stream at a glance: the error of every method over a window, and which policy was trusted when."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from metarun import atomic
from metarun.report import notation, plots

SHOWN = 12
"""Methods that are drawn at most, the strategies first."""


def stream_plot(summary: Mapping[str, Any], curves: Mapping[str, Any], path: Path) -> None:
    """Draw the windowed error of the methods, known drifts and noticed ones, and below the trust of what mixes.

    Raises MetarunError where the file cannot be written.
    """
    found = summary["pass"]
    methods = sorted(curves, key=lambda name: notation.family(name) == "baseline")[:SHOWN]
    mixing = [name for name in methods if "trust" in curves[name]]
    styles = plots._styles([name for name in methods if "events/" not in name], summary["reference"], summary["winner"])
    with matplotlib.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(12, 4.4 + 2.6 * len(mixing)), layout="constrained")
        axes = figure.subplots(1 + len(mixing), 1, sharex=True, squeeze=False,
                               height_ratios=[2.2, *[1] * len(mixing)])[:, 0]  # fmt: skip
        for method in methods:
            style = {k: v for k, v in styles.get(method, {"color": "#999999"}).items() if "marker" not in k}
            axes[0].plot(curves[method]["row"], _numbers(curves[method]["error"]), label=method, **style)
        known = np.concatenate([_numbers(curves[m]["error"]) for m in methods])
        known = known[np.isfinite(known)]
        if len(known):
            axes[0].set_ylim(0, float(np.quantile(known, 0.99)) * 1.15 + 1e-9)
        for drift in found["drifts"]:
            axes[0].axvline(drift, color="#bbbbbb", linewidth=0.8, zorder=0)
        for row in curves.get(summary["winner"], {}).get("alarms", []):
            axes[0].plot([row], [0], marker="^", color="black", clip_on=False, zorder=9)
        axes[0].set_ylabel("error over a window")
        axes[0].set_title(f"{summary['dataset']}: {found['protocol']}, {notation.setting(summary)}", loc="left")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper", frameon=False)
        for place, method in enumerate(mixing, 1):
            _trust(axes[place], method, curves[method])
        axes[-1].set_xlabel("rows so far; grey lines: where the concept changes; triangles: where it was noticed")
        png = io.BytesIO()
        figure.savefig(png, format="png", dpi=130, metadata={"Software": None})
    atomic.write(Path(path), lambda file: file.write(png.getvalue()))


def _trust(axes: Any, method: str, curve: Mapping[str, Any]) -> None:
    """Stack the trust in the policies of one method."""
    trust = np.array(curve["trust"], dtype=float).T
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 1, len(trust)))
    axes.stackplot(curve["row"][-trust.shape[1] :], trust, colors=colours, labels=curve["policies"], linewidth=0)
    axes.set_ylim(0, 1)
    axes.set_ylabel("trust")
    axes.set_title(method, loc="left", fontsize=9)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=7, ncols=1 + len(trust) // 12)


def _numbers(values: Any) -> Any:
    """Return values as floats, nan where there is none."""
    return np.array([np.nan if value is None else value for value in values], dtype=float)
