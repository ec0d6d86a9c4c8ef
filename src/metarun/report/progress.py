"""Where a stage is: a bar on a terminal, a plain line every few seconds in a file."""

from __future__ import annotations

import sys
import time
from typing import Any

import pytorch_lightning as pl
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

SECONDS = 5.0


class Progress(pl.Callback):
    """Shows step, rate and loss of one stage."""

    def __init__(self, name: str, steps: int) -> None:
        self.name, self.steps = name, steps
        self.console = Console(file=sys.stderr)
        self.bar: Bar | None = None
        self.first = self.shown = 0.0
        self.offset = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Open the bar."""
        self.first = self.shown = time.monotonic()
        self.offset = pl_module.position
        if self.console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
            )
            self.bar = Bar(*columns, console=self.console, transient=True)
            self.task = self.bar.add_task(self.name, total=self.steps, completed=self.offset, note="")
            self.bar.start()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
        """Refresh at most ten times a second on a terminal, every few seconds elsewhere."""
        now = time.monotonic()
        if now - self.shown < (0.1 if self.bar else SECONDS):
            return
        self.shown = now
        rate = (pl_module.position - self.offset) / (now - self.first)
        note = f"{rate:.0f} steps/s" + (f"  loss {float(pl_module.recent):.4f}" if pl_module.has_loss else "")
        if self.bar:
            self.bar.update(self.task, completed=pl_module.position, note=note)
        else:
            print(f"{self.name}: step {pl_module.position}/{self.steps}  {note}", file=sys.stderr, flush=True)

    def teardown(self, trainer: pl.Trainer, pl_module: Any, stage: str) -> None:
        """Close the bar."""
        if self.bar:
            self.bar.stop()
            self.bar = None
