"""Fixed share: several update rates at once, mixed by what each would have predicted.

Herbster and Warmuth, "Tracking the best expert", Machine Learning 1998. The rates are policies on a vmapped axis P.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.func import vmap
from torch.utils._pytree import tree_map

from metarun.model import Model, readable
from metarun.rule import Batch, Rule, State


class FixedShare(Rule):
    """A controller over one rule at several rates: weights fall with past loss, and `share` of them is spread evenly.

    `temperature` is the loss that costs a policy a factor e, so twice the noise variance for squared error. A policy
    whose loss is no number any more is out for good.
    """

    rates: Tensor

    def __init__(
        self,
        *,
        model: Model,
        rule: Callable[..., Rule],
        rates: list[float],
        share: float,
        temperature: float,
        chunk: int | None = 1,
        tune: dict[str, list[float]] | None = None,
    ) -> None:
        super().__init__(model)
        self.rule = rule(model=model)
        self.moves = self.rule.moves
        self.share, self.temperature, self.chunk, self.tune = share, temperature, chunk, tune
        self.register_buffer("rates", torch.tensor(rates))

    @property
    def sees(self) -> str:
        """What the wrapped rule sees."""
        return self.rule.sees

    def init(self, context: dict[str, Any]) -> State:
        """Return equal weights and one state per rate."""
        policies = len(self.rates)
        rules = vmap(lambda rate: self.rule.init({**context, "rate": rate}))(self.rates)
        return {"log_weight": self.rates.new_full((policies,), -math.log(policies)), "rules": rules}

    def each(self, state: State, x: Any) -> Tensor:
        """Return what every policy predicts, (P, B, C)."""
        out: Tensor = vmap(self.rule.predict, (0, None))(state["rules"], x)
        return out

    def mix(self, state: State, each: Tensor) -> Tensor:
        """Return the weighted prediction (B, C); what has no weight may have diverged."""
        weight = state["log_weight"].exp()
        alive = weight.reshape(-1, *[1] * (each.ndim - 1)) > 0
        return torch.einsum("p,p...->...", weight, torch.where(alive, each, 0.0))

    def predict(self, state: State, x: Any) -> Tensor:
        """Return the mixture's outputs (B, C)."""
        return self.mix(state, self.each(state, x))

    def learn(self, state: State, each: Tensor, batch: Batch) -> State:
        """Return the state after weighing the policies by their loss and updating each."""
        y = readable(batch.y, batch.known)
        losses = vmap(lambda out: self.model.objective.rows(out, y))(each)
        loss = torch.where(batch.known > 0, losses, 0.0).sum(-1)
        alive = loss.isfinite() & state["log_weight"].isfinite()
        weight = torch.where(alive, state["log_weight"] - loss / self.temperature, -torch.inf).softmax(0)
        shared = (1 - self.share) * weight + self.share * alive.to(weight) / alive.sum()
        log_weight = torch.where(batch.known.sum() > 0, shared.log(), state["log_weight"])
        return {"log_weight": log_weight, "rules": vmap(self.rule.update, (0, None))(state["rules"], batch)}

    def step(self, state: State, batch: Batch) -> tuple[Tensor, State]:
        """Predict and learn with one forward."""
        each = self.each(state, batch.x)
        return self.mix(state, each), self.learn(state, each, batch)

    def update(self, state: State, batch: Batch) -> State:
        """Return the state after one batch."""
        return self.learn(state, self.each(state, batch.x), batch)

    def commit(self, state: State) -> dict[str, Tensor]:
        """Return what the policy with the largest weight stands for."""
        best = state["log_weight"].argmax()[None]
        chosen = tree_map(lambda leaf: leaf.index_select(0, best)[0], state["rules"])
        return self.rule.commit(chosen)
