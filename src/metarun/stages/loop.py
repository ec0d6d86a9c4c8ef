"""What every stage shares: a loop of steps in Lightning that can be killed anywhere and taken up exactly.

Lightning by itself replays an epoch from its first batch. Here the position is part of the checkpoint and batch i is a
pure function of i, so a resumed run sees exactly the batches that it has not seen.
"""

from __future__ import annotations

import logging
import signal
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from omegaconf import DictConfig
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch.utils.data import DataLoader, IterableDataset

from metarun import ranks, stopping
from metarun.errors import MetarunError
from metarun.stages.curve import Curve
from metarun.stages.together import Together
from metarun.store import LAST, read, write

EVERY = 20
"""Steps on a GPU between two looks at what it found: the host would wait for it at each of them."""

QUIET = (
    ".*does not have many workers.*",
    ".*configure_optimizers` returned `None`.*",
    ".*mid-epoch.*",
    ".*srun.*",
    ".*LeafSpec.*",
    ".*GPU available but not used.*",
)


class Stage(pl.LightningModule):
    """A module whose steps are counted; a stage writes `training_step` and `configure_optimizers`."""

    rate_key = "its rate"
    """The options to lower where the loss is not a number."""

    has_loss = True
    """Whether `recent` is a loss, or only tells a finite state from a broken one."""

    on_cpu = False
    """Whether it runs there whatever `trainer.accelerator` says."""

    def __init__(self) -> None:
        super().__init__()
        self.position = 0
        self.spent = 0.0  # seconds of earlier attempts, up to the checkpoint that was taken up
        self.began = time.monotonic()
        self.recent = torch.zeros(())
        self.curve = Curve()

    def seconds(self) -> float:
        """Return the seconds that the steps so far took, those of earlier attempts included."""
        return self.spent + time.monotonic() - self.began

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the position."""
        checkpoint["position"], checkpoint["seconds"] = self.position, self.seconds()
        checkpoint["curve"] = self.curve.state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the position."""
        self.position, self.spent = checkpoint["position"], checkpoint["seconds"]
        self.curve.load(checkpoint["curve"])

    def record(self) -> None:
        """Keep the loss of the step just taken where the curve has room for it."""
        if self.has_loss and self.curve.due(self.position):
            self.curve.add(self.position, self.recent, float(self.trainer.optimizers[0].param_groups[0]["lr"]))


class Steps(IterableDataset[Any]):
    """batch(step) for every step that the stage has not taken."""

    def __init__(self, stage: Stage, batch: Callable[[int], Any], steps: int) -> None:
        self.stage, self.batch, self.steps = stage, batch, steps

    def __iter__(self) -> Iterator[Any]:
        for step in range(self.stage.position, self.steps):
            yield self.batch(step)


class Whole(TorchCheckpointIO):
    """Checkpoints that are whole or not there; reading one runs no code."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, *_: Any, **__: Any) -> None:
        """Write beside the place and rename."""
        write(Path(path), checkpoint)

    def load_checkpoint(self, path: Any, *_: Any, **__: Any) -> dict[str, Any]:
        """Return plain values and tensors, the same in all processes."""
        return ranks.shared(lambda: read(Path(path)))


class Alone(LightningEnvironment):
    """Keeps Lightning out of what is between processes, under SLURM too: to it there is one, with one device."""

    def teardown(self) -> None:
        """Leave WORLD_SIZE in the environment."""


class Guard(pl.Callback):
    """Counts steps, saves when it is time to and when asked to stop, and stops on a loss that is not a number."""

    def __init__(self, last: Path, every: int, name: str, steps: int, minutes: float = float("inf")) -> None:
        """every, minutes: the most steps, and the most time, between two checkpoints."""
        self.last, self.every, self.name, self.steps, self.minutes = last, every, name, steps, minutes
        self.saved = time.monotonic()
        self.asked: int | None = None
        self.on_gpu = False
        self.together = Together(lambda: self.asked, self.looks) if ranks.world() > 1 else None

    def looks(self, position: int) -> bool:
        """Return whether the host reads what the device has found by a step: on a CPU always."""
        return not self.on_gpu or position % EVERY == 0 or position == self.steps

    def ask(self, number: int, _frame: FrameType | None) -> None:
        """Remember a signal; a second Ctrl-C does not wait for the end of the step."""
        if self.asked is not None and number == signal.SIGINT:
            raise stopping.Stopped(number)
        self.asked = self.asked or number

    def on_train_start(self, _: pl.Trainer, pl_module: Any) -> None:
        """Listen in place of Lightning, which has its own handlers by now; in the main thread, where Python lets us."""
        self.on_gpu = pl_module.device.type != "cpu"
        if stopping.in_main_thread():
            for number in stopping.SIGNALS:
                signal.signal(number, self.ask)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
        """Count the step; save where it is time to."""
        pl_module.position += 1
        if self.looks(pl_module.position) and not torch.isfinite(pl_module.recent):
            what = f"the loss is {float(pl_module.recent)}" if pl_module.has_loss else "the adapted state is not finite"
            raise self.diverged(pl_module, what)
        pl_module.record()
        asked = self.together.stop if self.together else self.asked
        if ranks.first() and (asked is not None or self.due(pl_module.position)):
            trainer.save_checkpoint(self.last)
            self.saved = time.monotonic()
        if asked is not None:
            raise stopping.Stopped(asked)

    def due(self, position: int) -> bool:
        """Return whether it is time to save; after the last step the stage itself is kept."""
        late = time.monotonic() - self.saved >= 60 * self.minutes
        return position < self.steps and (late or position % self.every == 0)

    def on_train_end(self, _: pl.Trainer, pl_module: Any) -> None:
        """Refuse to hand on what the last step broke: its loss was taken before it."""
        if any(parameter.isnan().any() for parameter in pl_module.parameters()):
            raise self.diverged(pl_module, "the parameters are not numbers")

    def diverged(self, stage: Any, what: str) -> MetarunError:
        """Return the error that names the step and the option."""
        return MetarunError(
            f"{self.name}: {what} at step {stage.position} of {self.steps}. Stopped; the stages that were finished "
            f"before are kept in {self.last.parent.parent}. Lower {stage.rate_key}."
        )


@contextmanager
def own_signals() -> Iterator[None]:
    """Give the handlers back as they were, and turn Lightning's exit after a signal back into Stopped."""
    with stopping.restored():
        try:
            yield
        except SystemExit as error:
            raise stopping.Stopped(stopping.asked(error) or signal.SIGINT) from error


def fit(
    stage: Stage,
    batch: Callable[[int], Any],
    steps: int,
    folder: Path,
    name: str,
    *,
    trainer: DictConfig,
    save_every: int,
    save_minutes: float = float("inf"),
    clip: float | None = None,
    callbacks: Sequence[pl.Callback] = (),
) -> float:
    """Run the stage's steps from where its checkpoint stands and return the seconds they took in all attempts.

    Raises:
        MetarunError: the loss is not a number, or the checkpoint cannot be written or read.
    """
    last, device = folder / LAST, torch.device("cpu") if stage.on_cpu else ranks.device(trainer)
    guard = Guard(last, save_every, name, steps, save_minutes)
    stage.began = time.monotonic()
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    with warnings.catch_warnings(), own_signals():
        for words in QUIET:
            warnings.filterwarnings("ignore", message=words)
        runner = pl.Trainer(
            accelerator="gpu" if device.type == "cuda" else "cpu",
            devices=[device.index] if device.type == "cuda" else 1,
            max_epochs=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            gradient_clip_val=clip,
            plugins=[Whole(), Alone()],
            callbacks=[guard, *([guard.together] if guard.together else []), *callbacks],
        )
        loader = DataLoader(Steps(stage, batch, steps), batch_size=None)
        runner.fit(stage, loader, ckpt_path=last if ranks.shared(last.exists) else None)
    return stage.seconds()
