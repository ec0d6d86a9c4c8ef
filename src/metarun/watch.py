"""Who looks on while a run works: the terminal or the log, the trackers, and the manifest."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig
from rich.console import Console

from metarun import build, stopping, trackers
from metarun.manifest import FINISHED, Attempt, resolved
from metarun.report.live import Screen, fits
from metarun.report.progress import Lines, Progress, Silent, expected, paced
from metarun.trackers import Results, Trackers


class Watch:
    """What stages and judges tell of themselves, passed on to all who look on; by itself it only prints lines."""

    def __init__(
        self, view: Silent | None = None, followers: Trackers | None = None, attempt: Attempt | None = None
    ) -> None:
        self.view = view or Lines()
        self.followers = followers or Trackers({}, self.view.say)
        self.attempt = attempt

    @property
    def progress(self) -> Progress:
        """Where the run is."""
        return self.view.progress

    def follow(self, stage: str, method: str, steps: int) -> list[pl.Callback]:
        """Return what Lightning has to call while a stage of so many steps runs."""
        return [Following(self, stage, method, steps)]

    def passed(self, stage: str, value: str = "") -> None:
        """Take note of a stage that is done, now or in an earlier attempt; value: as "rmse 0.9451"."""
        self.progress.done.append(stage)
        self.progress.value = value or self.progress.value
        self.note()

    def validated(self, stage: str, step: int, metric: str, value: float) -> None:
        """Send the validation metric of a stage on."""
        self.followers.value(stage, step, f"validation_{metric}", value)

    def say(self, line: str) -> None:
        """Say something that stays."""
        self.view.say(line)

    def judging(self, method: str, number: int, of: int) -> None:
        """Enter the judging of one method of many."""
        self.progress.open(f"judging {method}", "", number, of)
        self.progress.doing, self.progress.value = "validation chooses, test is read once", ""
        self.view.refresh()
        self.note()

    def note(self) -> None:
        """Bring the manifest up to date: a process killed by force, for its memory say, writes nothing more."""
        if self.attempt is not None:
            self.attempt.save()

    def described(self, model: dict[str, Any]) -> None:
        """Put the manifest's "model" in its place; before the summary, after which nobody comes back to do it."""
        if self.attempt is not None:
            self.attempt.content["model"] = model
            self.attempt.save()

    def finished(self, folder: Path, rows: Sequence[dict[str, Any]]) -> None:
        """Close the manifest of a run whose results are written, and send them on; rows: the lines of metrics.jsonl."""
        if self.attempt is None:
            return
        self.attempt.close(FINISHED)
        table = [row for row in rows if row["split"] != "train"]
        self.followers.results(Results(table, sorted(folder.glob("*.png")), self.attempt.content))


class Following(pl.Callback):
    """Follows the steps of one stage."""

    def __init__(self, watch: Watch, stage: str, method: str, steps: int) -> None:
        self.watch, self.stage, self.method, self.steps = watch, stage, method, steps
        self.sent: dict[str, int] = {}
        """The last step of the curve that each tracker has."""

    def on_train_start(self, _: pl.Trainer, pl_module: Any) -> None:
        """Open the stage."""
        self.watch.progress.open(self.stage, self.method, pl_module.position, self.steps)
        self.look = paced(lambda: self.show(pl_module), self.watch.view.calm)

    def on_train_batch_end(self, _: pl.Trainer, pl_module: Any, *__: Any) -> None:
        """Count; look at the loss now and then only, for it may lie on a GPU."""
        self.watch.progress.step = pl_module.position
        self.look()

    def show(self, stage: Any) -> None:
        """Bring the view up to date."""
        if stage.has_loss:
            self.watch.progress.loss = float(stage.recent)
        self.watch.view.refresh()

    def send(self, stage: Any) -> None:
        """Send on what is new of the curve."""
        self.sent = self.watch.followers.curve(self.stage, stage.curve.gather(), self.sent)

    def on_save_checkpoint(self, _: pl.Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Send the curve so far, and bring the manifest up to date."""
        self.send(pl_module)
        checkpoint["sent"] = self.sent
        self.watch.note()

    def on_load_checkpoint(self, _: pl.Trainer, __: Any, checkpoint: dict[str, Any]) -> None:
        """Take up what was sent."""
        self.sent = checkpoint["sent"]

    def on_train_end(self, _: pl.Trainer, pl_module: Any) -> None:
        """Send the rest of the curve."""
        self.send(pl_module)
        self.watch.progress.doing = "validating"


@contextmanager
def watching(cfg: DictConfig, folder: Path, attempt: Attempt | None) -> Iterator[Watch]:
    """Let everybody look on who should; a process without an attempt to write down is not the first and shows nothing.

    Raises MetarunError where a tracker needs what is not there.
    """
    progress = Progress(str(cfg.name), folder.name, int(cfg.pipeline.rounds))
    if cfg.dataset.get("split") != "stream":
        against = [*cfg.evaluate.against, cfg.evaluate.reference]
        each = cfg.pipeline.repretrain == "each_round"
        progress.expected = expected(build.strategies(cfg), against, progress.rounds, each)
    if attempt is None:
        yield Watch(Silent(progress))
        return
    members = trackers.chosen(cfg, folder)
    console = Console(file=sys.stderr, highlight=False)
    with Screen(progress, console) if fits(console) else Lines(progress) as view:
        followers = Trackers(members, view.say)
        followers.begin(resolved(cfg))
        hurry = False
        try:
            yield Watch(view, followers, attempt)
        except BaseException as error:
            hurry = stopping.asked(error) is not None
            raise
        finally:
            followers.close(hurry)
