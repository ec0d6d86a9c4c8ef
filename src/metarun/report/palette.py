"""One hue per family, told apart within it by shade, marker and dash: the same in every picture.

Safe for the common colour deficiencies; a reader without any colour has markers and dashes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from metarun.report import notation

HUES: Mapping[str, Sequence[str]] = {
    "transfer": ("#1f6fb4", "#6cb0e6", "#0b3c66"),
    "online": ("#1a8a5a", "#7cc7a2", "#0b4d31"),
    "adaptive": ("#e08a00", "#f5bf62", "#8a5500"),
    "meta": ("#c2185b", "#7b3fb5", "#e8432e", "#4a1a7a", "#f0709f"),
}
GREYS = ("#8c8c8c", "#a8a8a8", "#707070", "#5a5a5a", "#b8b8b8", "#7d7d7d")
# Of plotly: the reference is black, random and popularity are dotted, the others by their number in the family.
SYMBOLS = ("circle", "square", "diamond", "triangle-down", "triangle-up", "pentagon", "x", "star")
LINES = ("solid", "dash", "dashdot", "longdash")
BASELINES = ("dash", "dashdot", "longdash", "longdashdot")


def style(method: str, number: int, reference: bool) -> dict[str, Any]:
    """Return the look of the number-th entry of a method's family on the page."""
    family = notation.family(method)
    symbol = SYMBOLS[number % len(SYMBOLS)]
    if reference:
        return {"color": "#000000", "dash": "dash", "symbol": "cross", "width": 2}
    if notation.last(method) in notation.ENDS:
        return {"color": "#444444", "dash": "dot", "symbol": "line-ew-open", "width": 1.5}
    if family not in HUES:
        dash = BASELINES[number % len(BASELINES)]
        return {"color": GREYS[number % len(GREYS)], "dash": dash, "symbol": f"{symbol}-open", "width": 1.5}
    hues = HUES[family]
    dash = LINES[number // len(hues) % len(LINES)]
    return {"color": hues[number % len(hues)], "dash": dash, "symbol": symbol, "width": 2}
