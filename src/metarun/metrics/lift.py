"""Where a model stands between chance and the best that the protocol allows."""

from __future__ import annotations


def lift(model: float, random: float, oracle: float) -> float:
    """Return how far a model goes from a random ranker (0) to the oracle (1); nan where the two agree."""
    return (model - random) / (oracle - random) if oracle != random else float("nan")
