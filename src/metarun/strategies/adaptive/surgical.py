"""After an alarm only those layers move that the new rows pull at most, by relative gradient norm.

Lee et al., "Surgical fine-tuning improves adaptation to distribution shifts", ICLR 2023: a change of the inputs is best
met in the first layers, one of what they mean in the last.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor

from metarun.rule import Batch, State
from metarun.strategies.depth import depths
from metarun.strategies.gradient import Gradient
from metarun.strategies.rates import HEAD

LEAST = 1e-12
"""Layers are never taken to be shorter."""


class Surgical(Gradient):
    """Gradient steps on all G layers, the head among them, until an alarm; then on `keep` of them.

    A layer's relative gradient norm is |g| / |theta|, g the gradient of the mean loss of `probe` labelled rows behind
    the alarm and theta where the alarm found the layer; until they are there what moved before goes on. The layers with
    the largest ones move for `span` labelled rows, None for up to the next choice, and then all do again.
    """

    listens: ClassVar[bool] = True
    alone: ClassVar[bool] = True

    def __init__(self, *, keep: int, probe: int, span: int | None, **fields: Any) -> None:
        super().__init__(**fields)
        self.keep, self.probe, self.span = keep, probe, span
        self.depth = {**depths(self.model.backbone), HEAD: 0}
        deepest = max(self.depth.values())
        self.names = ["head", *(f"layer {deepest + 1 - depth}" for depth in range(1, deepest + 1))]

    def init(self, context: dict[str, Any]) -> State:
        """Return the start, all of which moves."""
        state = super().init(context)
        theta, number = state["theta"], torch.zeros((), dtype=torch.int64)
        every = theta[HEAD].new_ones(len(self.names))
        return {
            **state, "open": every, "norms": torch.zeros_like(every), "held": theta,
            "slope": {name: torch.zeros_like(value) for name, value in theta.items()},
            "rows": number, "left": number, "chosen": number,
        }  # fmt: skip

    def rate(self, state: State, name: str, step: int, steps: int, weight: Tensor) -> Tensor:
        """Return the rate of a tensor, 0 while its layer stays."""
        open_: Tensor = state["open"][self.depth[name]]
        return super().rate(state, name, step, steps, weight) * open_

    def path(self, state: State, batch: Batch) -> Iterator[State]:
        """Yield the state after all steps, which alone knows what moves next."""
        yield self.update(state, batch)

    def update(self, state: State, batch: Batch) -> State:
        """Return the state after a chunk: an alarm first, then what its rows pull at, then learning."""
        rows = batch.known.sum().long()
        if int(batch.event) >= self.hears:
            state = self.alarmed(state)
        probing = int(state["left"]) > 0
        if probing:
            state = self.probed(state, batch)
        *_, state = self.walk(state, batch, self.steps)
        state = {**state, "rows": state["rows"] + rows}
        if probing and int(state["left"]) <= 0:
            return self.decided(state)
        if not probing and self.span is not None and int(state["rows"]) >= self.span:
            return {**state, "open": torch.ones_like(state["open"])}
        return state

    def alarmed(self, state: State) -> State:
        """Return the state that is about to look at what the next rows pull at."""
        nothing = torch.zeros_like(state["rows"])
        slope = {name: torch.zeros_like(value) for name, value in state["theta"].items()}
        return {**state, "held": state["theta"], "slope": slope, "rows": nothing, "left": nothing + self.probe}

    def probed(self, state: State, batch: Batch) -> State:
        """Return the state with the gradient of a chunk added, at what the alarm found."""
        rows = batch.known.sum()
        found = self.gradient({**state, "theta": state["held"]}, batch)
        slope = {name: state["slope"][name] + rows * value for name, value in found.items()}
        return {**state, "slope": slope, "left": state["left"] - rows.long()}

    def decided(self, state: State) -> State:
        """Return the state in which only the layers with the largest relative gradient norms move."""
        norms = (
            self.lengths(state["slope"]) / state["rows"] / self.lengths(state["held"]).clamp(min=LEAST)
        ).nan_to_num()
        best = norms.topk(min(self.keep, len(norms))).indices
        moving = torch.zeros_like(norms).index_fill(0, best, 1.0)
        nothing = torch.zeros_like(state["rows"])
        return {**state, "open": moving, "norms": norms, "rows": nothing, "chosen": state["chosen"] + 1}

    def lengths(self, tensors: dict[str, Tensor]) -> Tensor:
        """Return the norm (G,) of each layer's tensors as one vector."""
        total = torch.zeros(len(self.names), dtype=tensors[HEAD].dtype)
        for name, value in tensors.items():
            total[self.depth[name]] += value.square().sum()
        return total.sqrt()

    def told(self, state: State) -> dict[str, Tensor]:
        """Return which layers move, their last relative gradient norms, and how often there was a choice."""
        return {"trust": state["open"] / state["open"].sum(), "norms": state["norms"], "chosen": state["chosen"]}
