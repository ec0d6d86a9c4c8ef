"""An alarm trains a challenger beside the champion, which takes over only where it wins a paired test.

After Bifet et al., "Leveraging bagging for evolving data streams", ECML 2010, and the background learners of Gomes et
al., "Adaptive random forests", Machine Learning 2017; there a background learner takes over untested.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from metarun.events import DRIFT, WARNING
from metarun.model import Model, readable
from metarun.rule import Batch, Rule, State

Sums = Tensor
"""Of a trial (3,): labelled rows, and sum and sum of squares of the champion's loss less the challenger's."""


class WarnSwap(Rule):
    """Predicts by a champion. At an alarm a challenger sets out from the start and learns the same rows.

    It takes over where, after `trial` labelled rows or later, the mean difference of losses is `z` standard errors
    above 0; without that it is given up after `patience` rows. An alarm during a trial changes nothing. `trigger`: what
    starts a challenger, an "alarm" alone or a detector's "warning" too.
    """

    listens: ClassVar[bool] = True
    alone: ClassVar[bool] = True
    names = ("champion alone", "challenger in training")

    def __init__(
        self,
        *,
        model: Model,
        rule: Callable[..., Rule],
        trial: int,
        patience: int,
        z: float,
        trigger: str = "alarm",
        chunk: int | None = 1,
    ) -> None:
        super().__init__(model)
        self.rule = rule(model=model)
        self.moves, self.chunk = self.rule.moves, chunk
        self.trial, self.patience, self.z = trial, patience, z
        self.hears = WARNING if trigger == "warning" else DRIFT

    @property
    def sees(self) -> str:
        """What the wrapped rule sees."""
        return self.rule.sees

    def init(self, context: dict[str, Any]) -> State:
        """Return a champion at the start, a challenger that waits there, and no trial."""
        start = self.rule.init(context)
        return {
            "champion": start, "challenger": start, "start": start,
            "sums": torch.zeros(3, dtype=torch.float64), "active": torch.zeros((), dtype=torch.bool),
            "started": torch.zeros((), dtype=torch.int64), "swapped": torch.zeros((), dtype=torch.int64),
        }  # fmt: skip

    def predict(self, state: State, x: Any) -> Tensor:
        """Return the champion's outputs (B, C)."""
        return self.rule.predict(state["champion"], x)

    def update(self, state: State, batch: Batch) -> State:
        """Return the state after a chunk: an alarm first, then a trial's losses, then both learn."""
        if int(batch.event) >= self.hears and not state["active"]:
            state = {
                **state, "challenger": state["start"], "sums": torch.zeros_like(state["sums"]),
                "active": torch.ones_like(state["active"]), "started": state["started"] + 1,
            }  # fmt: skip
        if not state["active"]:
            return {**state, "champion": self.rule.update(state["champion"], batch)}
        sums = state["sums"] + self.compared(state, batch)
        champion, challenger = (self.rule.update(state[name], batch) for name in ("champion", "challenger"))
        after = {**state, "champion": champion, "challenger": challenger, "sums": sums}
        if won(sums, self.trial, self.z):
            return {**self.ended(after), "champion": challenger, "swapped": state["swapped"] + 1}
        return self.ended(after) if int(sums[0]) >= self.patience else after

    def compared(self, state: State, batch: Batch) -> Sums:
        """Return what a chunk adds to the sums of a trial, each row predicted before it is learned from."""
        known = batch.known > 0
        y = readable(batch.y, batch.known)
        champion, challenger = (
            self.model.objective.rows(self.rule.predict(state[name], batch.x), y)[known].double()
            for name in ("champion", "challenger")
        )
        # What has diverged has lost; where both have, there is nothing to tell.
        gap = champion.nan_to_num(torch.inf, torch.inf) - challenger.nan_to_num(torch.inf, torch.inf)
        return torch.stack([known.sum().double(), gap.sum(), gap.square().sum()])

    def ended(self, state: State) -> State:
        """Return the state without a trial."""
        return {**state, "active": torch.zeros_like(state["active"]), "challenger": state["start"]}

    def told(self, state: State) -> dict[str, Tensor]:
        """Return whether a challenger is in training, and how many there were and won."""
        active = state["active"].double()
        return {"trust": torch.stack([1 - active, active]), "started": state["started"], "swapped": state["swapped"]}

    def commit(self, state: State) -> dict[str, Tensor]:
        """Return the champion's parameters."""
        return self.rule.commit(state["champion"])


def won(sums: Sums, trial: int, z: float) -> bool:
    """Return whether the mean of a trial is `z` standard errors above 0, after `trial` rows at least."""
    rows, total, squares = map(float, sums)
    if rows < max(trial, 2) or not math.isfinite(total):
        return rows >= max(trial, 2) and total == math.inf
    mean = total / rows
    spread = max(squares / rows - mean**2, 0.0) * rows / (rows - 1)
    return mean > z * math.sqrt(spread / rows) and mean > 0
