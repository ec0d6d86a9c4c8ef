"""What one pass over everybody's ratings is always read beside: the last rating again, and running means."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from metarun.model import Model
from metarun.rule import Batch, State
from metarun.tables import TableRule, arrays, each_row, outputs, places


class LastRating(TableRule):
    """No change: the last rating of the same user (or of anybody), before there is one the mean of all so far."""

    def __init__(self, *, model: Model | None = None, of_user: bool) -> None:
        super().__init__(model)
        self.of_user = of_user

    def init(self, context: dict[str, Any]) -> State:
        """Return last ratings (users or 1, P), nan where there is none, and the sum and number of ratings."""
        low, high, _ = context["scale"]
        last = torch.full((context["users"] if self.of_user else 1, len(context["points"])), torch.nan)
        return {"last": last, "total": torch.tensor([(low + high) / 2, 1.0], dtype=torch.float64)}

    def learn(self, state: State, batch: Batch) -> Tensor:
        """Return the predictions (B, P), each made before its row was learned from; the state is changed."""
        a = arrays(state)
        last, total, out = a["last"], a["total"], outputs(batch, a["last"].shape[1])
        for row, user, _, y in each_row(batch):
            place = user if self.of_user else 0
            out[row] = np.where(np.isnan(last[place]), total[0] / total[1], last[place])
            if y is not None:
                last[place] = y
                total += y, 1
        return torch.from_numpy(out)

    def predict(self, state: State, x: Any) -> Tensor:
        """Return outputs (B, P)."""
        last = state["last"][x["user"] if self.of_user else torch.zeros_like(x["user"])]
        return torch.where(last.isnan(), (state["total"][0] / state["total"][1]).float(), last)


class RunningBias(TableRule):
    """rating = mean + item's bias + user's bias, each a running mean of what the rest leaves over.

    `users`: whether the user has a bias. `item_damping`, `damping`: ratings of prior belief behind an item's and a
    user's bias.
    """

    tunable = ("damping", "item_damping")

    def __init__(
        self,
        *,
        model: Model | None = None,
        users: bool,
        damping: float = 5.0,
        item_damping: float = 5.0,
        tune: dict[str, list[float]] | None = None,
    ) -> None:
        super().__init__(model, tune)
        self.users, self.damping, self.item_damping = users, damping, item_damping

    def init(self, context: dict[str, Any]) -> State:
        """Return sums (users + items, P) and numbers of ratings (users + items,)."""
        low, high, _ = context["scale"]
        points, both = context["points"], context["users"] + context["items"]
        damping = [self.values(name, points)[0] for name in ("damping", "item_damping")]
        return {
            "sum": torch.zeros(both, len(points), dtype=torch.float64),
            "rows": torch.zeros(both, dtype=torch.float64),
            "damping": torch.stack(damping).double(),
            "total": torch.tensor([(low + high) / 2, 1.0], dtype=torch.float64),
            "users": torch.tensor([context["users"]]),
        }

    def learn(self, state: State, batch: Batch) -> Tensor:
        """Return the predictions (B, P), each made before its row was learned from; the state is changed."""
        a = arrays(state)
        sums, rows, damping, total = a["sum"], a["rows"], a["damping"], a["total"]
        place, out = places(batch.x, int(a["users"][0])).numpy(), outputs(batch, sums.shape[1])
        for row, _, _, y in each_row(batch):
            both, mean = place[row], total[0] / total[1]
            count = rows[both][:, None]
            # A sum is of ratings less the other bias, so the mean of today is taken from it, not that of the day.
            own = (sums[both] - count * mean) / np.maximum(count + damping, 1e-9)
            if not self.users:
                own[0] = 0
            out[row] = mean + own[0] + own[1]
            if y is None:
                continue
            sums[both] += y - own[::-1]
            rows[both] += 1
            total += y, 1
        return torch.from_numpy(out)

    def predict(self, state: State, x: Any) -> Tensor:
        """Return outputs (B, P)."""
        both, mean = places(x, int(state["users"])), state["total"][0] / state["total"][1]
        count = state["rows"][both][..., None]
        own = (state["sum"][both] - count * mean) / (count + state["damping"]).clamp(min=1e-9)
        found: Tensor = mean + own[:, 1] + (own[:, 0] if self.users else 0)
        return found.float()
