"""One pass over a stream: every row is predicted, scored, then learned from, later where its label is late."""

from __future__ import annotations

from itertools import pairwise
from math import isnan, nan
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_structure, tree_unflatten

from metarun.data.streamed import Streamed
from metarun.events import Events
from metarun.rule import Batch, Rule, State
from metarun.stages.loop import Stage

ROWS = 4096
"""Rows of a step at most, without any bearing on what is learned."""
LOSSES = "losses.npy"

APART = 200
"""Rows between two points of a curve at least: a rule that is looked at often cannot be fast."""


def marks(first: int, last: int, chunk: int, points: int) -> NDArray[np.int64]:
    """Return the rows at which a curve has its points, `points` of them at most, ends of chunks, both ends included."""
    chunks = -(-(last - first) // chunk)
    number = max(min(points, chunks, (last - first) // APART), 1)
    ends = first + np.unique(np.linspace(0, chunks, number + 1).round().astype(np.int64)) * chunk
    return np.minimum(ends, last)


class Plan:
    """Steps over rows [first, last): a step ends where the curve has a point, and holds whole chunks."""

    def __init__(self, first: int, last: int, chunk: int, points: int) -> None:
        self.first, self.last, self.chunk = first, last, chunk
        self.marks = marks(first, last, chunk, points)
        rows = max(ROWS // chunk, 1) * chunk
        self.edges = sorted({*range(first, last, rows), last})

    def __len__(self) -> int:
        return len(self.edges) - 1

    def batch(self, step: int) -> tuple[int, int]:
        """Return the first row of a step and the one behind its last."""
        return self.edges[step], self.edges[step + 1]


class Follow(Stage):
    """Lets a rule follow the stream. What it was worth at each row lies in a file beside the checkpoint.

    `history` holds, at each of the plan's marks, what the rule tells of its state.
    """

    has_loss = False
    on_cpu = True  # the state stays where the rows are

    def __init__(
        self,
        rule: Rule,
        state: State,
        data: Streamed,
        plan: Plan,
        delay: int | None,
        events: Events,
        folder: Path,
        method: str,
    ) -> None:
        """delay: rows between a row and its label, None where labels never come; folder: of the checkpoint."""
        super().__init__()
        self.automatic_optimization = False
        self.rule, self.state, self.data, self.plan, self.delay, self.events = rule, state, data, plan, delay, events
        self.scaler, self.seen = data.scaler(), 0
        self.late: tuple[Tensor, Tensor] | None = None
        self.history: list[list[Tensor]] = []
        self.alarms: list[int] = []
        self.path = folder / LOSSES
        self.rate_key = (
            f"the rates among the fields of strategy.{method.split('/')[0]} (metarun show strategy/{method})"
        )

    def configure_optimizers(self) -> None:
        """Return nothing: the rule is the optimiser."""
        return

    def losses(self) -> NDArray[np.float32]:
        """Return what each row of the pass was worth (rows, 2), a file; see `worth`."""
        shape = (self.plan.last - self.plan.first, 2)
        if self.path.exists():
            kept: NDArray[np.float32] = np.load(self.path, mmap_mode="r+")
            return kept
        self.path.parent.mkdir(parents=True, exist_ok=True)
        found = np.lib.format.open_memmap(self.path, mode="w+", dtype=np.float32, shape=shape)
        found[:] = np.nan
        return found

    def on_train_start(self) -> None:
        """Open the file, let the scaler see what came before, and show the detector its past."""
        self.file = self.losses()
        while self.seen < self.plan.first:  # the opening, or earlier stretches: what a taken up run has in its state
            upto = min(self.seen + ROWS, self.plan.first)
            self.data.part(self.seen, upto, self.scaler)
            self.seen = upto
        for row in range(self.plan.first, self.plan.edges[self.position]) if self.events.watches else ():
            self.event(row)

    def training_step(self, batch: tuple[int, int], index: int) -> None:
        """Predict, score and learn the rows of a step."""
        first, last = batch
        x, y = self.data.part(first, last, self.scaler)
        self.seen = last
        if not self.history:
            self.note()
        with torch.no_grad():
            rows = self.rows(x, y)
            outs = []
            for begin, end in pairwise([first, *self.inner(first, last), last]):
                part = slice(begin - first, end - first)
                outs += self.advance(begin, *(cut(batch, part) for batch in rows))
                self.reached(end)
            if outs:
                self.score(first, torch.cat(outs), rows[0])
        self.recent = torch.stack([leaf.double().clamp(min=-1e30).sum() for leaf in self.floats()]).sum()

    def reached(self, row: int) -> None:
        """Keep what the rule tells where the curve has a point."""
        if row in self.ends:
            self.note()

    def inner(self, first: int, last: int) -> list[int]:
        """Return the marks between two rows: of a rule that has nothing to tell none that would cut its rows up."""
        if not self.rule.told(self.state):
            return []
        marks = self.plan.marks
        return list(map(int, marks[np.searchsorted(marks, first, "right") : np.searchsorted(marks, last)]))

    @property
    def ends(self) -> frozenset[int]:
        """The marks, to be found fast."""
        if not hasattr(self, "_ends"):
            self._ends = frozenset(self.plan.marks.tolist())
        return self._ends

    def floats(self) -> list[Tensor]:
        """Return what of the state may diverge."""
        return [leaf for leaf in tree_leaves(self.state) if leaf.is_floating_point()] or [torch.zeros(())]

    def rows(self, x: Tensor, y: Tensor) -> tuple[Batch, Batch]:
        """Return the rows of a step as (to be predicted, to be learned from), the same where labels are not late."""
        exists, known = torch.ones(len(y)), labelled(y)
        features = self.rule.model.features(x) if self.rule.sees == "features" else x
        event = torch.zeros((), dtype=torch.int64)
        ask = Batch(features, y, exists, known, event)
        if self.delay == 0:
            return ask, ask
        if self.delay is None:
            return ask, ask._replace(known=torch.zeros_like(known))
        if self.late is None:
            nothing = y.new_full((self.delay,), torch.nan if y.is_floating_point() else -1)
            self.late = features[:1].expand(self.delay, *features.shape[1:]) * 0, nothing
        old, labels = torch.cat([self.late[0], features]), torch.cat([self.late[1], y])
        self.late = old[len(y) :].clone(), labels[len(y) :].clone()
        then = labels[: len(y)]
        return ask, Batch(old[: len(y)], then, exists, labelled(then), event)

    def advance(self, first: int, ask: Batch, learn: Batch) -> list[Tensor]:
        """Predict rows and learn; return predictions that are to be scored, none where the rule listens.

        Of a rule that listens each chunk is scored at once, for a detector to see it.
        """
        chunk, same = self.plan.chunk, learn.x is ask.x
        if not self.rule.listens:
            out, self.state = self.rule.follow(self.state, learn.x if same else ask.x, learn, chunk)
            return [out]
        for begin in range(0, len(ask.y), chunk):
            asked, learned = (cut(batch, slice(begin, begin + chunk)) for batch in (ask, learn))
            self.score(first + begin, self.rule.predict(self.state, asked.x), asked)
            if self.rule.transductive and self.delay:
                learned = with_new(learned, asked)
            events = {row: self.event(row) for row in range(first + begin, first + begin + len(asked.y))}
            self.alarms += [row for row, event in events.items() if event >= self.rule.hears]
            event = torch.tensor(max(events.values()))
            self.state = self.rule.update(self.state, learned._replace(event=event))
        return []

    def event(self, row: int) -> int:
        """Return what is told with a row; a detector is shown the error whose label comes with it."""
        place = row - self.plan.first - (self.delay or 0)
        error = float(self.file[place, 1]) if self.delay is not None and place >= 0 else nan
        if not isnan(error):
            self.events.saw(error)
        return self.events.at(row)

    def score(self, first: int, out: Tensor, batch: Batch) -> None:
        """Keep what predictions (B, C) were worth."""
        values = worth(out, batch, self.rule.model.objective)
        place = first - self.plan.first
        self.file[place : place + len(values)] = values.numpy()

    def note(self) -> None:
        """Keep what the rule tells of its state."""
        self.history.append([leaf.clone() for leaf in self.rule.told(self.state).values()])

    def told(self) -> dict[str, Tensor]:
        """Return what the rule told at every mark, each (marks, ...)."""
        names = list(self.rule.told(self.state))
        return {name: torch.stack([row[i] for row in self.history]) for i, name in enumerate(names)}

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Return two numbers as they are."""
        return batch

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the state, what is late, and the record; the file is brought to the disk first."""
        super().on_save_checkpoint(checkpoint)
        self.file.flush()  # type: ignore[attr-defined]
        checkpoint["follow"] = {
            "state": tree_leaves(self.state), "scaler": self.scaler.state, "seen": self.seen, "late": self.late,
            "history": self.history, "alarms": self.alarms,
        }  # fmt: skip

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take them up."""
        super().on_load_checkpoint(checkpoint)
        found = checkpoint["follow"]
        self.state = tree_unflatten(found["state"], tree_structure(self.state))
        self.scaler.state, self.seen, self.late = found["scaler"], found["seen"], found["late"]
        self.history, self.alarms = found["history"], found["alarms"]


def cut(batch: Batch, rows: slice) -> Batch:
    """Return some rows of a batch."""
    return Batch(batch.x[rows], batch.y[rows], batch.mask[rows], batch.known[rows], batch.event)


def with_new(late: Batch, new: Batch) -> Batch:
    """Return rows whose labels have come, and behind them new ones without: what a transductive rule learns from.

    A late row without a label was seen when it was new, or stands for none before the first.
    """
    x = torch.cat([late.x, new.x])
    y = torch.cat([late.y, torch.zeros_like(new.y)])
    mask = torch.cat([late.known, new.mask])
    return Batch(x, y, mask, torch.cat([late.known, torch.zeros_like(new.mask)]), late.event)


def labelled(y: Tensor) -> Tensor:
    """Return 1 (B,) where a label is there: not nan, not below 0 where it is a class."""
    return (~y.isnan() if y.is_floating_point() else y >= 0).float()


def worth(out: Tensor, batch: Batch, objective: Any) -> Tensor:
    """Return (B, 2) of outputs (B, C): loss, and 1 for a wrong class or the absolute error; nan without a label."""
    shown = batch.known > 0
    if getattr(objective, "classifies", False):
        y = torch.where(shown, batch.y, 0)
        loss, error = objective.rows(out, y), (out.argmax(-1) != y) | ~out.isfinite().any(-1)
    else:
        y = torch.where(shown, batch.y, 0.0)
        loss, error = (out[..., 0] - y).square(), (out[..., 0] - y).abs()
    return torch.where(shown[:, None], torch.stack([loss, error.to(loss)], 1), torch.nan).float()
