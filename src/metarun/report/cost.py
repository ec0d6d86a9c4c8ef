"""What a group of runs has cost: means over its runs, from their manifests and summaries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from metarun.report.reading import Run


class Amount(NamedTuple):
    """A mean over runs; `least`: some attempt was killed before it could say, so that it was more."""

    value: float
    least: bool = False


FIELDS = {
    "wall_seconds": "wall s", "cpu_seconds": "CPU s", "peak_memory_mb": "peak MB", "optimiser_steps": "steps",
    "parameters": "params", "labels": "labels",
}  # fmt: skip
"""Field of the CSV: head of the column."""


def cost(runs: Sequence[Run]) -> dict[str, Amount]:
    """Return the fields that every run of a group knows; what older runs do not say is missing, not 0."""
    takers: dict[str, Callable[[Run], Amount | None]] = {
        "wall_seconds": lambda run: _summed(_wall(one) for one in _attempts(run)),
        "cpu_seconds": lambda run: _summed(one.get("cpu_seconds") for one in _attempts(run)),
        "peak_memory_mb": lambda run: _highest(one.get("peak_memory_mb") for one in _attempts(run)),
        "optimiser_steps": lambda run: _known(run.summary.get("optimiser_steps")),
        "parameters": lambda run: _known(_model(run).get("parameters")),
        "labels": lambda run: _known(_model(run).get("labels")),
    }
    return {field: mean for field, take in takers.items() if (mean := _mean(map(take, runs))) is not None}


def method_cost(runs: Sequence[Run], method: str) -> dict[str, Amount]:
    """Return the mean "seconds" and "steps" of one method alone, where the runs tell them apart."""
    found = [(run.summary.get("cost") or {}).get(method) or {} for run in runs]
    means = {key: _mean(_known(one.get(key)) for one in found) for key in ("seconds", "steps")}
    return {key: mean for key, mean in means.items() if mean is not None}


def _attempts(run: Run) -> list[Mapping[str, Any]]:
    """Return the attempts that a run has taken."""
    return [one for one in run.manifest.get("attempts", []) if isinstance(one, dict)]


def _model(run: Run) -> Mapping[str, Any]:
    """Return what the manifest says of the model."""
    return run.manifest.get("model") or {}


def _wall(attempt: Mapping[str, Any]) -> float | None:
    """Return the seconds from an attempt's start to its end, None where it was killed."""
    if not attempt.get("end"):
        return None
    start, end = (datetime.fromisoformat(attempt[key]) for key in ("start", "end"))
    return (end - start).total_seconds()


def _known(value: Any) -> Amount | None:
    """Return a number as an amount."""
    return Amount(float(value)) if isinstance(value, int | float) else None


def _summed(values: Iterable[float | None]) -> Amount | None:
    """Return the sum over attempts, a lower bound where some are not known."""
    each = list(values)
    known = [value for value in each if value is not None]
    return Amount(float(sum(known)), len(known) < len(each)) if known else None


def _highest(values: Iterable[float | None]) -> Amount | None:
    """Return the highest of the attempts."""
    each = list(values)
    known = [value for value in each if value is not None]
    return Amount(float(max(known)), len(known) < len(each)) if known else None


def _mean(amounts: Iterable[Amount | None]) -> Amount | None:
    """Return the mean over runs, None where one of them does not know."""
    each = list(amounts)
    known = [amount for amount in each if amount is not None]
    if not known or len(known) < len(each):
        return None
    return Amount(sum(one.value for one in known) / len(known), any(one.least for one in known))


def spelled(amount: Amount | None) -> str:
    """Return an amount for a reader: "36", "≥ 1,204", "-" where it is not known."""
    if amount is None:
        return "-"
    value = amount.value
    digits = f"{value:.1f}" if value < 10 and value != round(value) else f"{value:,.0f}"
    return f"≥{digits}" if amount.least else digits
