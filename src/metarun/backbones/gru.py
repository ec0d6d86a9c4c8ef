"""Gated recurrent units; Cho et al., "Learning phrase representations using RNN encoder-decoder", EMNLP 2014."""

from __future__ import annotations

from torch import Tensor

from metarun.backbones.recurrent import Recurrent


class GRU(Recurrent):
    """State h (B, D): reset and update gates, and a candidate."""

    gates = 3

    def cell(self, token: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return (h,) after a token."""
        (before,) = state
        reset, update, candidate = token.chunk(3, -1)
        was_reset, was_update, was_candidate = self.of_state(before).chunk(3, -1)
        share = (update + was_update).sigmoid()
        new = (candidate + (reset + was_reset).sigmoid() * was_candidate).tanh()
        return ((1 - share) * new + share * before,)
