"""Long short-term memory; Hochreiter and Schmidhuber, Neural Computation 9(8), 1997, with the forget gate of Gers."""

from __future__ import annotations

import torch
from torch import Tensor

from metarun.backbones.recurrent import Recurrent


class LSTM(Recurrent):
    """State h (B, D) and memory c (B, D): gates for input, forgetting and output."""

    gates = 4

    def empty(self, state: Tensor) -> tuple[Tensor, ...]:
        """Return h and c of zeros."""
        return state, torch.zeros_like(state)

    def cell(self, token: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return (h, c) after a token."""
        before, memory = state
        entering, kept, new, leaving = (token + self.of_state(before)).chunk(4, -1)
        # One more in the gate that keeps: a new memory forgets slowly (Jozefowicz et al., ICML 2015).
        memory = (kept + 1).sigmoid() * memory + entering.sigmoid() * new.tanh()
        return leaving.sigmoid() * memory.tanh(), memory
