"""A library of past states: after an alarm the one that predicts the next rows best is taken up again.

After Gama and Kosina, "Recurrent concepts in data streams classification", KAIS 2014. The start, pretrained or
meta-learned, is always in the library.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.func import vmap
from torch.utils._pytree import tree_map

from metarun.events import DRIFT
from metarun.model import Model, readable
from metarun.rule import Batch, Rule, State


class Recall(Rule):
    """Predicts by one state. At an alarm the state of some time before goes into the library of `size`, oldest out.

    Then the library's states predict the next `probe` labelled rows without learning from them; the best of them is
    taken up where its mean loss is `margin` below that of the state that went on learning. A state is set aside every
    `every` rows, and it is the last but one that goes into the library, for at an alarm the last may know the new
    concept already.
    """

    listens: ClassVar[bool] = True
    alone: ClassVar[bool] = True

    def __init__(
        self,
        *,
        model: Model,
        rule: Callable[..., Rule],
        size: int,
        every: int,
        probe: int,
        margin: float,
        chunk: int | None = 1,
    ) -> None:
        super().__init__(model)
        self.rule = rule(model=model)
        self.moves, self.chunk = self.rule.moves, chunk
        self.size, self.every, self.probe, self.margin = size, every, probe, margin

    @property
    def sees(self) -> str:
        """What the wrapped rule sees."""
        return self.rule.sees

    def init(self, context: dict[str, Any]) -> State:
        """Return the start, in every place of the library as well."""
        start = self.rule.init(context)
        number = torch.zeros((), dtype=torch.int64)
        return {
            "own": start, "aside": [start, start],
            "library": tree_map(lambda leaf: torch.stack([leaf] * (self.size + 1)), start),  # place 0: the start
            "loss": torch.zeros(self.size + 2, dtype=torch.float64),  # of the library, and of the own state behind it
            "rows": number, "left": number, "stored": number, "recalled": number, "since": number,
        }  # fmt: skip

    def predict(self, state: State, x: Any) -> Tensor:
        """Return outputs (B, C)."""
        return self.rule.predict(state["own"], x)

    def update(self, state: State, batch: Batch) -> State:
        """Return the state after a chunk: an alarm first, then what the library makes of its rows, then learning."""
        if int(batch.event) == DRIFT:
            state = self.alarmed(state)
        probing, rows = int(state["left"]) > 0, batch.known.sum().long()
        if probing:
            state = {**state, "loss": state["loss"] + self.losses(state, batch), "left": state["left"] - rows}
        state = {**state, "own": self.rule.update(state["own"], batch), "rows": state["rows"] + rows}
        if probing and int(state["left"]) <= 0:
            state = self.chosen(state)
        return self.set_aside(state, rows)

    def alarmed(self, state: State) -> State:
        """Return the state with what was set aside in the library, about to be probed."""
        place = 1 + int(state["stored"]) % self.size

        def put(kept: Tensor, leaf: Tensor) -> Tensor:
            kept = kept.clone()
            kept[place] = leaf
            return kept

        library = tree_map(put, state["library"], state["aside"][0])
        nothing = torch.zeros_like(state["rows"])
        return {
            **state, "library": library, "stored": state["stored"] + 1, "left": nothing + self.probe, "rows": nothing,
            "loss": torch.zeros_like(state["loss"]), "aside": [state["own"], state["own"]], "since": nothing,
        }  # fmt: skip

    def losses(self, state: State, batch: Batch) -> Tensor:
        """Return summed losses (size + 2,) of a chunk's labelled rows, whatever lies in a place."""
        y, known = readable(batch.y, batch.known), batch.known > 0
        of_library = vmap(self.rule.predict, (0, None))(state["library"], batch.x)
        outs = torch.cat([of_library, self.rule.predict(state["own"], batch.x)[None]])
        found: Tensor = vmap(lambda out: torch.where(known, self.model.objective.rows(out, y), 0.0).sum())(outs)
        return found.double()

    def chosen(self, state: State) -> State:
        """Return the state that goes on from the best of the library, or as it is."""
        mean = state["loss"] / state["rows"].clamp(min=1)
        filled = torch.arange(self.size + 1) <= state["stored"]
        best = int(torch.where(filled, mean[:-1].nan_to_num(torch.inf), torch.inf).argmin())
        if not mean[best] < mean[-1] - self.margin and mean[-1].isfinite():
            return state
        taken = tree_map(lambda leaf: leaf[best].clone(), state["library"])
        return {**state, "own": taken, "aside": [taken, taken], "recalled": state["recalled"] + 1}

    def set_aside(self, state: State, rows: Tensor) -> State:
        """Return the state with a copy of itself set aside where it is time."""
        since = state["since"] + rows
        if int(since) < self.every or int(state["left"]) > 0:
            return {**state, "since": since}
        return {**state, "aside": [state["aside"][1], state["own"]], "since": torch.zeros_like(since)}

    def told(self, state: State) -> dict[str, Tensor]:
        """Return how many states were stored and taken up again."""
        return {"stored": state["stored"], "recalled": state["recalled"]}

    def commit(self, state: State) -> dict[str, Tensor]:
        """Return the parameters of the state that predicts."""
        return self.rule.commit(state["own"])
