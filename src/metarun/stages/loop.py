"""What every stage shares: a loop of steps in Lightning that can be killed anywhere and taken up exactly.

Lightning by itself replays an epoch from its first batch. Here the position is part of the checkpoint and batch i is a
pure function of i, so a resumed run sees exactly the batches that it has not seen.
"""

from __future__ import annotations

import logging
import os
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from torch.utils.data import DataLoader, IterableDataset

from metarun.errors import MetarunError
from metarun.report.progress import Progress

LAST = "last.ckpt"


class Stage(pl.LightningModule):
    """A module whose steps are counted; a stage writes `training_step` and `configure_optimizers`."""

    def __init__(self) -> None:
        super().__init__()
        self.position = 0
        self.recent = torch.zeros(())

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the position."""
        checkpoint["position"] = self.position

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the position."""
        self.position = checkpoint["position"]


class Steps(IterableDataset[Any]):
    """batch(step) for every step that the stage has not taken."""

    def __init__(self, stage: Stage, batch: Callable[[int], Any], steps: int) -> None:
        self.stage, self.batch, self.steps = stage, batch, steps

    def __iter__(self) -> Iterator[Any]:
        for step in range(self.stage.position, self.steps):
            yield self.batch(step)


class Guard(pl.Callback):
    """Counts steps, saves every `every` steps and when asked to stop, and stops on a loss that is not a number."""

    def __init__(self, last: Path, every: int, name: str, steps: int) -> None:
        self.last, self.every, self.name, self.steps = last, every, name, steps
        self.asked: int | None = None
        self.before: dict[int, Any] = {}

    def ask(self, number: int, _frame: FrameType | None) -> None:
        """Remember a signal; a second Ctrl-C does not wait for the end of the step."""
        if self.asked is not None:
            raise KeyboardInterrupt
        self.asked = number

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Listen for Ctrl-C and for the end of the machine's time."""
        if signal.getsignal(signal.SIGINT) is not None:
            self.before = {number: signal.signal(number, self.ask) for number in (signal.SIGINT, signal.SIGTERM)}

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, *_: Any) -> None:
        """Count the step; save where it is time to."""
        pl_module.position += 1
        if not torch.isfinite(pl_module.recent):
            raise MetarunError(
                f"the loss of {self.name} is {float(pl_module.recent)} at step {pl_module.position}. What was finished "
                f"before is kept; lower the rate ({pl_module.rate_key}) and start again."
            )
        if self.asked is not None or (pl_module.position % self.every == 0 and pl_module.position < self.steps):
            self.save(trainer)
        if self.asked is not None:
            raise KeyboardInterrupt

    def save(self, trainer: pl.Trainer) -> None:
        """Write the checkpoint beside its place and rename it."""
        part = self.last.with_suffix(".part")
        try:
            trainer.save_checkpoint(part)
            os.replace(part, self.last)
        except OSError as error:
            raise MetarunError(f"cannot write {self.last} ({error.strerror or error}): free space or set paths.outputs") from error

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Give the signals back."""
        for number, handler in self.before.items():
            signal.signal(number, handler)
        self.before = {}


def fit(
    stage: Stage,
    batch: Callable[[int], Any],
    steps: int,
    folder: Path,
    name: str,
    *,
    trainer: DictConfig,
    save_every: int,
    clip: float | None = None,
) -> float:
    """Run the stage's steps from where its checkpoint stands and return the seconds it took.

    Raises:
        MetarunError: the loss is not a number, or the checkpoint cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    last = folder / LAST
    guard = Guard(last, save_every, name, steps)
    began = time.monotonic()
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        for words in QUIET:
            warnings.filterwarnings("ignore", message=words)
        runner = pl.Trainer(
            accelerator=trainer.accelerator,
            devices=1,
            max_epochs=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            gradient_clip_val=clip,
            callbacks=[guard, Progress(name, steps)],
        )
        loader = DataLoader(Steps(stage, batch, steps), batch_size=None)
        with _interruptible():
            runner.fit(stage, loader, ckpt_path=last if last.exists() else None)
    return time.monotonic() - began


QUIET = (
    ".*does not have many workers.*",
    ".*`configure_optimizers` returned `None`.*",
    ".*mid-epoch.*",
    ".*srun.*",
    ".*LeafSpec.*",
    ".*GPU available but not used.*",
)


class _interruptible:
    """Turns Lightning's own way of leaving after Ctrl-C back into KeyboardInterrupt."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if kind is SystemExit:
            raise KeyboardInterrupt from error
