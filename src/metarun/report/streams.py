"""A stream beside its means: fading error, Kappa-T, regrets, recovery from known drifts, alarms and cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group

from metarun.report import notation
from metarun.report.layout import framed
from metarun.report.table import grouped

Summary = Mapping[str, Any]
HEADS = {
    "fading": "fading\nerror ",
    "kappa_t": "Kappa-T ",
    "static_regret": "static\nregret ",
    "tracking_regret": "tracking\nregret ",
    "recovery": "rows to\nrecover ",
    "never": "never ",
    "alarms": "alarms ",
    "compute": "compute ",
}
WHOLE = ("static_regret", "tracking_regret", "recovery", "never", "alarms")


def stream_facts(summary: Summary, unicode: bool = True) -> Group:
    """Return one row per method that followed the stream, with the columns that any of them has."""
    more = {name: dict(values) for name, values in summary["pass"]["more"].items()}
    seconds = {name: summary["cost"][name]["seconds"] for name in more}
    base = seconds.get("online/sgd") or seconds[summary["reference"]]
    for name, values in more.items():
        values["compute"] = seconds[name] / base if base else None
    shown = [key for key in HEADS if any(values.get(key) for values in more.values())]
    cells = {
        method: [text(key, more[method].get(key)) for key in shown]
        for method in notation.ordered(more)
    }  # fmt: skip
    rows = grouped(list(cells), cells, summary.get("winner"), unicode)
    title = f"{summary['dataset']}: one pass, {summary['pass']['protocol']}"
    return framed(title, [HEADS[key] for key in shown], rows, _caption(summary, shown), unicode)


def text(key: str, value: float | None) -> str:
    """Return a value as it is printed."""
    if value is None:
        return ""
    if key in WHOLE:
        return f"{value:,.0f} "
    return f"{value:.1f} " if key == "compute" else f"{notation.short(value)} "


def _caption(summary: Summary, shown: list[str]) -> str:
    """Return what the columns are."""
    lines = []
    if "fading" in shown:
        lines.append("fading error: of the last rows, which count less the longer ago")
    if "kappa_t" in shown:
        lines.append("Kappa-T: 0 is the last label again, 1 no error")
    if "static_regret" in shown:
        switches = max(values.get("switches", 0) for values in summary["pass"]["more"].values())
        lines.append(
            "regret: loss more than the best fixed policy's (static), or the best sequence of policies with at most "
            f"{switches} changes (tracking); below 0 is better"
        )
    if "recovery" in shown:
        lines.append(f"rows to recover: median over {len(summary['pass']['drifts'])} known drifts; never: of them")
    lines.append("compute: seconds, as a multiple of those of online/sgd")
    return "\n".join(lines)
