"""Recurrent networks written as loops over places: torch's own know neither vmap nor a second derivative on a GPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from metarun.backbones.text import TextEncoder, mean
from metarun.model import Spec


class Recurrent(TextEncoder):
    """Reads tokens, or moments of a spectrogram, from left to right; a subclass writes `cell`.

    The embedding is the mean of what it thinks at each.

    `gates`: how many times the width of the state one step computes.
    """

    gates: int
    causal = True
    hears = True

    def __init__(self, width: int, hidden: int, *, spec: Spec) -> None:
        """width: E, of a token's vector; hidden: D, of the state."""
        super().__init__(width, spec)
        self.dim = hidden
        self.of_token, self.of_state = nn.Linear(width, self.gates * hidden), nn.Linear(hidden, self.gates * hidden)

    def cell(self, token: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return the state after a token, what is read of it first; token (B, gates * D): already multiplied."""
        raise NotImplementedError

    def empty(self, state: Tensor) -> tuple[Tensor, ...]:
        """Return the state before any token, made of zeros (B, D)."""
        return (state,)

    def places(self, vectors: Tensor, there: Tensor) -> Tensor:
        """Return the state at each place (B, L, D); at padding it is what it was."""
        tokens = self.of_token(vectors)
        state = self.empty(tokens.new_zeros(len(tokens), self.dim))
        found = []
        for place in range(tokens.shape[1]):
            new = self.cell(tokens[:, place], state)
            read = there[:, place, None] > 0
            state = tuple(torch.where(read, after, before) for after, before in zip(new, state, strict=True))
            found.append(state[0])
        return torch.stack(found, 1)

    def encoded(self, vectors: Tensor, there: Tensor, tokens: Tensor) -> Tensor:
        """Return the mean state (B, D)."""
        return mean(self.places(vectors, there), there)
