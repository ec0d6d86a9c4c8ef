"""What the verb audit does."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from metarun import terminal
from metarun.answers import audit as auditing
from metarun.answers import rows
from metarun.errors import MetarunError


def audit(
    run: str, outputs: Path, support: Path | None, query: Path, by: str, positive: str | None, plot: Path | None
) -> None:
    """Print gaps between groups before and after adapting, and draw how reliable probabilities are."""
    from rich.table import Table

    if plot is not None and plot.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise MetarunError(f"--plot {plot}: a picture is written as .png, .svg or .pdf")
    kind, found = auditing.audit(rows.load(run, outputs), support, query, by, positive)
    names, count = np.unique(kind.astype(str), return_counts=True)
    table = Table(box=None, pad_edge=False)
    for head in ("adapted", "metric", *(f"{by} {n} (n={c})" for n, c in zip(names, count, strict=True)), "gap", "95 %"):
        table.add_column(head, justify="left" if head in ("adapted", "metric") else "right")
    for state, audited in found.items():
        for gap in audited.gaps:
            cells = [f"{gap.groups[str(name)]:.3f}" for name in names]
            table.add_row(state, gap.metric, *cells, f"{gap.gap:.3f}", f"{gap.low:.3f} to {gap.high:.3f}")
    console = terminal.console()
    console.print(table)
    for state, audited in found.items():
        print(f"{state} adapting: probabilities are off by {audited.reliability.error:.3f} (calibration error)")
    print(
        f"gap: largest less smallest group of '{by}'; 95 % interval of {auditing.DRAWS:,} bootstrap samples of rows. "
        "It is never below 0: small groups have gaps by chance"
    )
    if plot is not None:
        auditing.plot(found, plot)
        print(f"reliability in {plot}")
