"""One pass over a stream of everybody's rows: every row is predicted, scored, then learned from."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from metarun.data.whole import WholeStream
from metarun.rule import Batch
from metarun.stages.loop import Stage
from metarun.tables import TableRule

METRICS = {"mse": torch.square, "mae": torch.abs}


class Pass(Stage):
    """Runs all points of a rule's grid side by side and chooses one by the rows before the first that is scored.

    `sums` (metrics, 1 + blocks, P) are the errors so far, those that choose in row 0. `still`: the state as it was when
    the scored rows began, never updated since. `every`: whether all points go on, to tell the best in hindsight.
    """

    has_loss = False
    on_cpu = True  # its tables are written by numpy

    def __init__(self, rule: TableRule, stream: WholeStream, context: dict[str, Any], metric: str, every: bool) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.rule, self.stream, self.context, self.every = rule, stream, context, every
        self.points: list[dict[str, float]] = context["points"]
        self.low, self.high, _ = context["scale"]
        self.main = list(METRICS).index("mse" if metric == "rmse" else metric)
        blocks = len(stream.edges)
        self.sums = torch.zeros(len(METRICS), blocks, len(self.points), dtype=torch.float64)
        self.still_sums = torch.zeros(len(METRICS), blocks, 1, dtype=torch.float64)
        self.choice = -1
        self.state, self.still = rule.init(context), None

    def configure_optimizers(self) -> None:
        """Return nothing: the rule is the optimiser."""
        return

    def training_step(self, batch: tuple[int, Batch], index: int) -> None:
        """Predict, score and learn the rows of a step one by one."""
        first, rows = batch
        if self.choice < 0 and first >= self.stream.opening:
            self.choose()
        block = self.stream.block(first, len(rows.y))
        if self.still is not None:
            self.score(self.still_sums, slice(None), self.rule.predict(self.still, rows.x), rows.y, block)
        out, self.state = self.rule.step(self.state, rows)
        self.score(self.sums, self.going, out, rows.y, block)
        if self.every and self.choice >= 0:  # a baseline that diverges is a row of the table
            self.recent = self.sums[self.main, :, self.choice].sum()

    @property
    def going(self) -> slice:
        """The points that are still learning."""
        return slice(None) if self.every or self.choice < 0 else slice(self.choice, self.choice + 1)

    def choose(self) -> None:
        """Choose the point with the least error so far; the first one where there is none yet."""
        self.choice = int(self.sums[self.main, 0].nan_to_num(torch.inf, torch.inf).argmin())
        if self.every:
            self.still = self.rule.keep(self.state, self.choice)
        else:
            self.state = self.rule.keep(self.state, self.choice)

    def score(self, sums: Tensor, points: slice, out: Tensor, y: Tensor, block: Tensor) -> None:
        """Add the errors of predictions (B, P) to the sums of their blocks."""
        error = out.double().clamp(self.low, self.high) - y.double()[:, None]
        for total, size in zip(sums, METRICS.values(), strict=True):
            total[:, points].index_add_(0, block, size(error))

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Leave the rows where the tables are."""
        return batch

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the tables and the errors too."""
        super().on_save_checkpoint(checkpoint)
        tables = {} if self.rule.replays else self.state
        checkpoint["pass"] = {
            "choice": self.choice, "sums": self.sums, "still_sums": self.still_sums, "tables": tables,
            "still": None if self.rule.replays else self.still,
        }  # fmt: skip

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take them up, or learn the past again where they could not be kept."""
        super().on_load_checkpoint(checkpoint)
        found = checkpoint["pass"]
        self.choice, self.sums, self.still_sums = found["choice"], found["sums"], found["still_sums"]
        self.state, self.still = found["tables"], found["still"]
        if self.rule.replays:
            self.state = self.rule.init({**self.context, "points": self.points[self.going]})
            for step in range(self.position):
                first, rows = self.stream.batch(step)
                if self.every and self.choice >= 0 and first == self.stream.opening:
                    self.still = self.rule.keep(self.state, self.choice)
                self.rule.update(self.state, rows)
