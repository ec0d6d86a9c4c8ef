"""The last line of a run: what it found, in one sentence of plain words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metarun.report import notation
from metarun.report.passes import pass_verdict
from metarun.report.sequence import sequence_verdict
from metarun.smoke import CUT


def verdict(summary: Mapping[str, Any]) -> str:
    """Return who won on validation, by how much over the reference on test, if that is significant, and the folder.

    On synthetic data, or cut short, it says that nothing was shown.
    """
    winner, reference = summary.get("winner"), summary.get("reference", "baseline/ridge")
    where = f"files in {summary['folder']}"
    cut = summary.get("setting", {}).get(CUT)
    if cut:
        return f"A check that it runs, not a result: {CUT} {cut}; {where}."
    if summary["synthetic"]:
        return f"A plumbing check, not evidence: {summary['dataset']} is not real data, so no method has won; {where}."
    if "sequence" in summary:
        return f"{sequence_verdict(summary)}; {where}."
    if not winner:
        return f"{_nobody(summary)}; {where}."
    if "pass" in summary:
        return f"{pass_verdict(summary)}; {where}."
    start = f"{winner} won on validation ({summary['dataset']})"
    if winner == reference:
        return f"{start}: no strategy did better than the reference itself; {where}."
    pairs = {cell: _of(summary, winner, cell) for cell in notation.cells(summary) if _of(summary, winner, cell)}
    if not pairs:
        return f"{start}, without a paired comparison: {reference} was not judged on the same tasks; {where}."
    metric, unit = summary["metric"], notation.unit(summary)
    clauses = [
        f"on {'' if len(pairs) == 1 else cell + ' '}test {_comparison(found, metric, reference, unit)}"
        for cell, found in pairs.items()
    ]
    return f"{start}; {'; '.join(clauses)}; {where}."


def _of(summary: Mapping[str, Any], method: str, cell: str) -> dict[str, Any]:
    """Return {support: difference to the reference} of a method in a cell."""
    found = notation.pairs(summary, summary["metric"], cell)
    return {size: methods[method] for size, methods in found.items() if method in methods}


def _nobody(summary: Mapping[str, Any]) -> str:
    """Return why no strategy is named."""
    judged = summary.get("trials", {})
    if judged and all(notation.family(method) == "baseline" for method in judged):
        return "No strategy was chosen in this run (strategy=[]), so none is named"
    if summary.get("validation"):
        return "No strategy has a finite value on all validation tasks, so none is named"
    return "Nothing was compared on validation tasks, so no strategy is named"


def _comparison(pairs: Mapping[str, Mapping[str, Any]], metric: str, reference: str, unit: str) -> str:
    """Return the sizes where the winner is significantly better, worse, or neither, with the size of the difference."""
    up = notation.higher_is_better(metric)
    clauses = []
    for sign, direction in ((1, "above" if up else "below"), (-1, "below" if up else "above")):
        sizes = [size for size in pairs if notation.better_or_worse(pairs[size], metric) == sign]
        if sizes:
            by = sorted(abs(pairs[size]["difference"]) for size in sizes)
            span = dict.fromkeys([notation.short(by[0]), notation.short(by[-1])])
            clauses.append(f"significantly {direction} {reference} by {' to '.join(span)} at support {_list(sizes)}")
    text = " but ".join(clauses)
    undecided = [size for size in pairs if notation.better_or_worse(pairs[size], metric) == 0]
    if undecided and clauses:
        text += f", with no significant difference at {_list(undecided)}"
    elif undecided:
        text = f"not significantly different from {reference} at support {_list(undecided)}"
    users = max(pair.get("n", 0) for pair in pairs.values())
    over = f" over {users:,} {unit}" if users else ""
    return f"its {notation.label(metric)} is {text} (paired 95 % intervals{over})"


def _list(sizes: list[str]) -> str:
    """Return the sizes as words."""
    return notation.spoken(sizes)
