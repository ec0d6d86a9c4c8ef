"""Fixed share: several policies at once, mixed by what each would have predicted.

Herbster and Warmuth, "Tracking the best expert", Machine Learning 1998. A policy is a rate and the features that it
sees; policies lie on a vmapped axis P.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.func import vmap
from torch.utils._pytree import tree_map

from metarun.errors import MetarunError
from metarun.model import Model, readable
from metarun.rule import Batch, Rule, State
from metarun.strategies import row_by_row
from metarun.strategies.classes import classifies
from metarun.strategies.gradient import Gradient
from metarun.strategies.rates import HEAD
from metarun.strategies.row_by_row import Trust, kernels


class FixedShare(Rule):
    """A controller over one rule at several rates: weights fall with past loss, and `share` of them is spread evenly.

    `sets`: groups of features (`Spec.groups`), a policy for each set and rate; None for all features. `temperature`
    is the loss that costs a policy a factor e: of classes 1 is Bayes' rule, of squared error twice the noise variance.
    Classes are mixed as probabilities, numbers as they are. A policy whose loss is no number any more is out for good.
    """

    rates: Tensor
    seen: Tensor | None

    def __init__(
        self,
        *,
        model: Model,
        rule: Callable[..., Rule],
        rates: list[float],
        share: float,
        temperature: float,
        sets: list[list[str]] | None = None,
        chunk: int | None = 1,
        tune: dict[str, list[float]] | None = None,
    ) -> None:
        super().__init__(model)
        self.rule = rule(model=model)
        self.moves = self.rule.moves
        self.share, self.temperature, self.chunk, self.tune = share, temperature, chunk, tune
        policies = list(itertools.product(sets or [[]], rates))
        self.names = [" ".join([f"rate {rate:g}", *(["on"] if groups else []), *groups]) for groups, rate in policies]
        self.register_buffer("rates", torch.tensor([rate for _, rate in policies]))
        seen = torch.stack([columns(model, groups) for groups, _ in policies]) if sets else None
        self.register_buffer("seen", seen, persistent=False)

    @property
    def sees(self) -> str:
        """What the wrapped rule sees."""
        return self.rule.sees

    def init(self, context: dict[str, Any]) -> State:
        """Return equal weights and one state per policy."""
        policies = len(self.rates)
        rules = vmap(lambda rate: self.rule.init({**context, "rate": rate}))(self.rates)
        if self.seen is not None:  # what a policy does not see has no weight in it
            rules["theta"] = {**rules["theta"], HEAD: rules["theta"][HEAD] * self.seen[..., None]}
        return {
            "log_weight": self.rates.new_full((policies,), -math.log(policies)),
            "rules": rules,
            "loss": torch.zeros(policies + 1, dtype=torch.float64),
            "hits": torch.zeros(policies + 1, dtype=torch.float64),
        }

    def shown(self, x: Any) -> Any:
        """Return what each policy sees of inputs (B, F): (P, B, F), 0 where it does not."""
        return x if self.seen is None else x * self.seen[:, None]

    @property
    def axis(self) -> int | None:
        """The axis of policies that `shown` has added, if any."""
        return None if self.seen is None else 0

    def each(self, state: State, x: Any) -> Tensor:
        """Return what every policy predicts, (P, B, C): of classes the logarithms of probabilities."""
        out: Tensor = vmap(self.rule.predict, (0, self.axis))(state["rules"], self.shown(x))
        return out.log_softmax(-1) if classifies(self.model) else out

    def mix(self, state: State, each: Tensor) -> Tensor:
        """Return the weighted prediction (B, C); what has no weight may have diverged."""
        weight = state["log_weight"].exp().reshape(-1, *[1] * (each.ndim - 1))
        if classifies(self.model):
            terms = torch.where(weight > 0, each + weight.log(), -torch.inf)
            return terms.logsumexp(0)
        total: Tensor = (weight * torch.where(weight > 0, each, 0.0)).sum(0)
        return total

    def predict(self, state: State, x: Any) -> Tensor:
        """Return the mixture's outputs (B, C)."""
        return self.mix(state, self.each(state, x))

    def learn(self, state: State, each: Tensor, batch: Batch) -> State:
        """Return the state after weighing the policies by their loss and updating each."""
        y = readable(batch.y, batch.known)
        uniform = each.logsumexp(0) - math.log(len(each)) if classifies(self.model) else each.mean(0)
        every = torch.cat([each, uniform[None]])
        losses = vmap(lambda out: self.model.objective.rows(out, y))(every)
        loss = torch.where(batch.known > 0, losses, 0.0).sum(-1)
        weighed = self.weighed(state, loss[:-1])
        hits = torch.zeros_like(state["hits"])
        if classifies(self.model):
            hits = ((every.argmax(-1) == y) * batch.known).sum(-1).double()
        learned = batch._replace(x=self.shown(batch.x))

        def update(rules: State, x: Any) -> State:
            return self.rule.update(rules, learned._replace(x=x))

        return {
            **{name: torch.where(batch.known.sum() > 0, new, state[name]) for name, new in weighed.items()},
            "rules": vmap(update, (0, self.axis))(state["rules"], learned.x),
            "loss": state["loss"] + loss.double(),
            "hits": state["hits"] + hits,
        }

    def weighed(self, state: State, loss: Tensor) -> dict[str, Tensor]:
        """Return the logarithms of weights after losses (P,)."""
        alive = loss.isfinite() & state["log_weight"].isfinite()
        # In logarithms throughout: a policy that is trusted little now may be the best one later.
        shared = torch.where(alive, state["log_weight"] - loss / self.temperature, -torch.inf).log_softmax(0)
        if self.share:
            evenly = (self.share * alive.to(shared) / alive.sum()).log()
            shared = torch.logaddexp(shared + math.log1p(-min(self.share, 1 - 1e-12)), evenly)
        return {"log_weight": shared}

    def step(self, state: State, batch: Batch) -> tuple[Tensor, State]:
        """Predict and learn with one forward."""
        each = self.each(state, batch.x)
        return self.mix(state, each), self.learn(state, each, batch)

    def update(self, state: State, batch: Batch) -> State:
        """Return the state after one batch."""
        return self.learn(state, self.each(state, batch.x), batch)

    def follow(self, state: State, ask: Any, batch: Batch, chunk: int) -> tuple[Tensor, State]:
        """Return (outputs (B, C), state) of rows of a stream; without torch's cost per row where the rule is plain."""
        if not (isinstance(self.rule, Gradient) and self.rule.plain) or "classes" in state["rules"]:
            return super().follow(state, ask, batch, chunk)
        weight = state["rules"]["theta"][HEAD]  # (P, D, C)
        policies, features, outputs = weight.shape
        rate = self.rule.log_scale[HEAD].detach().exp() * state["rules"]["rate"][:, None, None]
        seen = weight.new_ones(policies, features) if self.seen is None else self.seen
        flat = (weight * seen[..., None], rate * seen[..., None].expand_as(weight))
        start, step = (leaf.transpose(0, 1).reshape(features, -1).numpy() for leaf in flat)
        trust = Trust(*(state[name].numpy() for name in ("log_weight", "loss", "hits")))
        out, moved, trust = kernels(self.kernel).mixed(
            start, trust, *row_by_row.arrays(ask, batch), step, self.share, self.temperature, chunk,
            classifies(self.model),
        )  # fmt: skip
        back = torch.from_numpy(moved).reshape(features, policies, outputs).transpose(0, 1).contiguous()
        rules = {**state["rules"], "theta": {**state["rules"]["theta"], HEAD: back}}
        log_weight, loss, hits = (torch.from_numpy(leaf) for leaf in trust)
        kept = {"log_weight": log_weight.to(state["log_weight"]), "loss": loss, "hits": hits}
        return torch.from_numpy(out), {**state, **kept, "rules": rules}

    def told(self, state: State) -> dict[str, Tensor]:
        """Return the trust in each policy (P,), and losses and hits so far of each and of their uniform mixture."""
        return {"trust": state["log_weight"].exp(), "loss": state["loss"], "hits": state["hits"]}

    def commit(self, state: State) -> dict[str, Tensor]:
        """Return what the policy with the largest weight stands for."""
        best = state["log_weight"].argmax()[None]
        chosen = tree_map(lambda leaf: leaf.index_select(0, best)[0], state["rules"])
        return self.rule.commit(chosen)


def columns(model: Model, groups: list[str]) -> Tensor:
    """Return 1 (F,) at the features of the named groups and at the constant behind them.

    Raises:
        MetarunError: the dataset has no such group, or the backbone makes other features of its own.
    """
    known = model.groups
    for name in groups:
        if name not in known:
            raise MetarunError(
                f"strategy.adaptive.sets names '{name}', but the groups of features of this dataset are "
                f"{', '.join(known) or 'none'}" + ("" if "lags" in known else ": dataset.lags=[1,2,48] adds lags")
            )
    width = model.head.weight.shape[0]
    if width != max(stop for _, stop in known.values()) + 1:
        raise MetarunError("strategy.adaptive.sets chooses among features as they are: use backbone=plain or sets=null")
    seen = torch.zeros(width)
    seen[-1] = 1.0
    for name in groups:
        seen[slice(*known[name])] = 1.0
    return seen
