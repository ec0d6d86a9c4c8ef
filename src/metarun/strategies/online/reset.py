"""Start again at every alarm: what a controller has to beat, by a detector's alarms, at random, in turn, or by truth.

The baseline of Gama et al., "A survey on concept drift adaptation", ACM Computing Surveys 46(4), 2014.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from metarun.events import DRIFT
from metarun.model import Model
from metarun.rule import Batch, Rule, State


class Reset(Rule):
    """Another rule, which forgets all it has learned of the stream at an alarm, and goes on from where it began."""

    listens: ClassVar[bool] = True
    alone: ClassVar[bool] = True
    hears = DRIFT

    def __init__(self, *, model: Model, rule: Callable[..., Rule], chunk: int | None = 1) -> None:
        super().__init__(model)
        self.rule = rule(model=model)
        self.moves, self.chunk = self.rule.moves, chunk

    @property
    def sees(self) -> str:
        """What the wrapped rule sees."""
        return self.rule.sees

    def init(self, context: dict[str, Any]) -> State:
        """Return the rule at its start, and the start."""
        start = self.rule.init(context)
        return {"rule": start, "start": start, "resets": torch.zeros((), dtype=torch.int64)}

    def predict(self, state: State, x: Any) -> Tensor:
        """Return the rule's outputs (B, C)."""
        return self.rule.predict(state["rule"], x)

    def update(self, state: State, batch: Batch) -> State:
        """Return the state after a chunk: an alarm first, then the rule learns."""
        if int(batch.event) >= self.hears:
            state = {**state, "rule": state["start"], "resets": state["resets"] + 1}
        return {**state, "rule": self.rule.update(state["rule"], batch)}

    def told(self, state: State) -> dict[str, Tensor]:
        """Return how often it started again."""
        return {"resets": state["resets"]}

    def commit(self, state: State) -> dict[str, Tensor]:
        """Return the rule's parameters."""
        return self.rule.commit(state["rule"])
