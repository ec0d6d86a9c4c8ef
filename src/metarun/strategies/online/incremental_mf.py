"""Incremental matrix factorisation with forgetting: every rating is one Kalman step for its user and its item.

rating = mean + user's bias + item's bias + <user's taste, item's taste>. Given the item, the rating is linear in the
user's numbers, and the other way round; each number has a variance of its own, which is its rate (a decoupled extended
Kalman filter: Puskorius and Feldkamp, IJCNN 1991; for ratings Gultekin and Paisley, ICDM 2014). Of a bias alone this is
the damped running mean.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from metarun.model import Model
from metarun.rule import Batch, State
from metarun.tables import TableRule, arrays, each_row, outputs, places


class IncrementalMF(TableRule):
    """Biases and `dim` factors for every user and item that the stream names, learned one rating at a time.

    `bias`, `taste`: prior variances of a bias and of a factor, `noise`: of a rating, all for ratings from 1 to 5 and
    carried over to another scale by its width. `forgetting`, `item_forgetting`: with each rating the variances of its
    user and of its item go back this share of the way to the prior's, so that old ratings count less; 0 never forgets.
    `start`: standard deviation of the items' first factors, which break the tie between factors.
    """

    tunable = ("bias", "taste", "noise", "forgetting", "item_forgetting")

    def __init__(
        self,
        *,
        model: Model | None = None,
        dim: int = 8,
        bias: float = 0.2,
        taste: float = 0.2,
        noise: float = 0.8,
        forgetting: float = 0.01,
        item_forgetting: float = 0.001,
        start: float = 0.03,
        tune: dict[str, list[float]] | None = None,
    ) -> None:
        super().__init__(model, tune)
        self.dim, self.bias, self.taste, self.noise = dim, bias, taste, noise
        self.forgetting, self.item_forgetting, self.start = forgetting, item_forgetting, start

    def init(self, context: dict[str, Any]) -> State:
        """Return means and variances (users + items, P, 1 + dim), and the points' constants; nothing is known yet."""
        users, items, points = context["users"], context["items"], context["points"]
        low, high, _ = context["scale"]
        square = ((high - low) / 4) ** 2
        prior = (self.values("taste", points)[..., None] * square).repeat(1, 1, 1 + self.dim)
        prior[..., 0] = self.values("bias", points) * square
        mean = torch.zeros(users + items, len(points), 1 + self.dim)
        generator = torch.Generator().manual_seed(context["seed"])
        drawn = torch.randn(items, 1, self.dim, generator=generator)
        mean[users:, :, 1:] = self.start * square**0.5 * drawn
        forgetting = [self.values(name, points)[0] for name in ("forgetting", "item_forgetting")]
        return {
            "mean": mean,
            "variance": prior.repeat(users + items, 1, 1),
            "prior": prior,
            "noise": self.values("noise", points) * square,
            "forgetting": torch.stack(forgetting)[..., None],
            "total": torch.tensor([(low + high) / 2, 1.0], dtype=torch.float64),  # sum and number of ratings
            "users": torch.tensor([users]),
        }

    def learn(self, state: State, batch: Batch) -> Tensor:
        """Return the predictions (B, P), each made before its row was learned from; the state is changed."""
        a = arrays(state)
        mean, variance, prior, noise, share = (a[n] for n in ("mean", "variance", "prior", "noise", "forgetting"))
        total, place, out = a["total"], places(batch.x, int(a["users"][0])).numpy(), outputs(batch, mean.shape[1])
        for row, _, _, y in each_row(batch):
            both = place[row]
            known = mean[both]  # (2, P, 1 + dim): the user's numbers, the item's
            # What each side is multiplied with: 1 for its bias, the other side's factors for its own.
            slope = known[::-1].copy()
            slope[..., 0] = 1
            guess = total[0] / total[1] + known[1, :, 0] + (known[0] * slope[0]).sum(-1)
            out[row] = guess
            if y is None:
                continue
            spread = variance[both]
            spread += share * (prior - spread)
            lever = spread * slope
            doubt = noise[0] + (lever * slope).sum((0, 2))  # the variance of the prediction's error
            known += lever * ((y - guess) / doubt).astype(np.float32)[:, None]
            spread -= lever * lever / doubt[:, None]
            mean[both], variance[both] = known, spread
            total += y, 1
        return torch.from_numpy(out)

    def predict(self, state: State, x: Any) -> Tensor:
        """Return outputs (B, P)."""
        known = state["mean"][places(x, int(state["users"]))]
        user, item = known[:, 0], known[:, 1]
        guess = user[..., 0] + item[..., 0] + (user[..., 1:] * item[..., 1:]).sum(-1)
        found: Tensor = state["total"][0] / state["total"][1] + guess
        return found.float()
