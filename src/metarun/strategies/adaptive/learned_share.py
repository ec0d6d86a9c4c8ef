"""Fixed share without its parameter: every share on a grid is followed at once, and each is believed by its losses.

Vovk, "Derandomizing stochastic prediction strategies", Machine Learning 1999; de Rooij and van Erven, "Learning the
switching rate by discretising Bernoulli sources online", AISTATS 2009. The price is at most the logarithm of the number
of shares, once for the whole stream.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from metarun.model import Model
from metarun.rule import Batch, Rule, State
from metarun.strategies.adaptive.fixed_share import FixedShare

SHARES = (0.0, *(0.5**power for power in range(14, 0, -1)))
"""From never to every other chunk, each twice the one before."""


class LearnedShare(FixedShare):
    """Policies as in fixed share; Bayes over the shares as well as over the policies.

    `of_share` (K, P): logarithms of weights under each share; `log_share` (K,): of the shares themselves.
    """

    shares: Tensor

    def __init__(
        self,
        *,
        model: Model,
        rule: Callable[..., Rule],
        rates: list[float],
        temperature: float,
        sets: list[list[str]] | None = None,
        chunk: int | None = 1,
    ) -> None:
        super().__init__(
            model=model, rule=rule, rates=rates, share=0.0, temperature=temperature, sets=sets, chunk=chunk
        )  # fmt: skip
        self.register_buffer("shares", torch.tensor(SHARES, dtype=torch.float64), persistent=False)

    def init(self, context: dict[str, Any]) -> State:
        """Return equal weights under every share, and all shares believed alike."""
        state = super().init(context)
        number, policies = len(SHARES), len(self.rates)
        even = state["log_weight"].new_full((number,), -math.log(number))
        return {**state, "of_share": state["log_weight"].expand(number, policies).clone(), "log_share": even}

    def weighed(self, state: State, loss: Tensor) -> dict[str, Tensor]:
        """Return the logarithms of all weights after losses (P,), those of policies alone among them."""
        alive = loss.isfinite() & state["log_weight"].isfinite()
        cost = torch.where(alive, -loss / self.temperature, -torch.inf)
        joint = state["of_share"] + cost
        log_share = (state["log_share"] + joint.logsumexp(1)).log_softmax(0)
        share = self.shares.to(joint)[:, None]
        evenly = (share * alive.to(joint) / alive.sum()).log()
        of_share = torch.logaddexp(joint.log_softmax(1) + torch.log1p(-share), evenly)
        return {
            "log_weight": (log_share[:, None] + of_share).logsumexp(0).log_softmax(0),
            "of_share": of_share,
            "log_share": log_share,
        }

    def follow(self, state: State, ask: Any, batch: Batch, chunk: int) -> tuple[Tensor, State]:
        """Return (outputs (B, C), state) chunk after chunk."""
        return Rule.follow(self, state, ask, batch, chunk)
