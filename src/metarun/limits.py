"""When a loop of rounds is over before its last round."""

from __future__ import annotations

from typing import Any


def used_up(limits: Any, seconds: float, steps: int, values: list[float]) -> str | None:
    """Return the limit of `pipeline` that time, steps or patience have come to, as option=value; None before that.

    values: of the rounds so far, the less the better.
    """
    if limits.max_minutes is not None and seconds >= 60 * limits.max_minutes:
        return f"pipeline.max_minutes={limits.max_minutes}"
    if limits.max_steps is not None and steps >= limits.max_steps:
        return f"pipeline.max_steps={limits.max_steps}"
    if limits.patience is not None and len(values) - 1 - values.index(min(values)) >= limits.patience:
        return f"pipeline.patience={limits.patience}"
    return None
