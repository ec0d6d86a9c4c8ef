"""The comparison as one self-contained HTML file that a person forwards: nothing in it is loaded from elsewhere."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from metarun import atomic
from metarun.errors import MetarunError
from metarun.report.contrast import Comparison
from metarun.report.page_data import page_data

# Nothing may be fetched, whatever a browser or a library would like to.
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
HEAD = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<link rel="icon" href="data:,"><title>{title}</title>
<style>{css}</style></head><body>
"""
# Plotly stands as text: page.js runs it once the table is on the screen, so that its megabytes keep nobody waiting.
BODY = """<script id="data" type="application/json">{data}</script>
<script>{js}</script>
<script id="plotly" type="text/plain">{plotly}</script>
</body></html>
"""


def write(path: Path, comparison: Comparison, left_out: Sequence[str] = ()) -> None:
    """Write the page; raises MetarunError without plotly, or where the file cannot be written."""
    plotly = _plotly()
    data = page_data(comparison, left_out)
    atomic.write_text(path, render(data, plotly))


def render(data: dict[str, Any], plotly: str) -> str:
    """Return the page."""
    here = files("metarun.report")
    names = ("page.css", "page.html", "page.js", "page_plots.js")
    css, frame, *scripts = ((here / name).read_text(encoding="utf-8") for name in names)
    # No text of a run can end the script that it stands in.
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    head = HEAD.format(policy=html.escape(POLICY, quote=False), title=html.escape(data["title"]), css=css)
    return head + frame + BODY.format(plotly=plotly, data=text, js="\n".join(scripts))


def _plotly() -> str:
    """Return plotly's own script."""
    try:
        from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]
    except ImportError:
        raise MetarunError("--html needs plotly: pip install 'metarun[report]'.") from None
    script: str = get_plotlyjs()
    return script.replace("</script", "<\\/script")
