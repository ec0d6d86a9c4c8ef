"""`reco.BiasedMF` of the package river: what a pass over everybody's ratings has to beat."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metarun.errors import MetarunError
from metarun.model import Model
from metarun.rule import Batch, State
from metarun.tables import TableRule, each_row, outputs


class RiverMF(TableRule):
    """river's biased matrix factorisation by stochastic gradient descent, one of its models per point.

    `factors`: length of its vectors; `bias_rate`, `rate`: of its two optimisers; `l2`: penalty on both.
    """

    tunable = ("bias_rate", "rate", "l2")
    replays = True  # its state is river's own objects

    def __init__(
        self,
        *,
        model: Model | None = None,
        factors: int = 10,
        bias_rate: float = 0.01,
        rate: float = 0.01,
        l2: float = 0.0,
        tune: dict[str, list[float]] | None = None,
    ) -> None:
        super().__init__(model, tune)
        try:
            from river import optim, reco
        except ImportError:
            raise MetarunError(
                "baseline/river needs the package river: pip install river; or leave it out of "
                "evaluate.against and set evaluate.reference=baseline/running_bias"
            ) from None
        self.reco, self.optim = reco, optim
        self.factors, self.bias_rate, self.rate, self.l2 = factors, bias_rate, rate, l2

    def init(self, context: dict[str, Any]) -> State:
        """Return one fresh model per point; where river leaves the seed to chance it is the run's."""
        return {"models": [self.made(point, context["seed"]) for point in context["points"]]}

    def made(self, point: dict[str, float], seed: int) -> Any:
        """Return a fresh model of river with the settings of a point."""
        known = {name: point.get(name, getattr(self, name)) for name in self.tunable}
        return self.reco.BiasedMF(
            n_factors=self.factors,
            bias_optimizer=self.optim.SGD(known["bias_rate"]),
            latent_optimizer=self.optim.SGD(known["rate"]),
            l2_bias=known["l2"],
            l2_latent=known["l2"],
            seed=seed,
        )

    def learn(self, state: State, batch: Batch) -> Tensor:
        """Return the predictions (B, P), each made before its row was learned from; the state is changed."""
        out, rows = outputs(batch, len(state["models"])), list(each_row(batch))
        with np.errstate(all="ignore"):  # a point whose rate is too high diverges and is not chosen
            for column, model in enumerate(state["models"]):
                for row, user, item, y in rows:
                    out[row, column] = model.predict_one(user, item)
                    if y is not None:
                        model.learn_one(user, item, y)
        return torch.from_numpy(out)

    def predict(self, state: State, x: Any) -> Tensor:
        """Return outputs (B, P)."""
        # river draws a new user's vector when it is first asked for one, so it is asked in a copy.
        models = copy.deepcopy(state["models"])
        pairs = list(zip(x["user"].tolist(), x["item"].tolist(), strict=True))
        return torch.tensor([[model.predict_one(*pair) for model in models] for pair in pairs])

    def keep(self, state: State, point: int) -> State:
        """Return a copy of the state with one of its points."""
        return {"models": [copy.deepcopy(state["models"][point])]}
