"""Where a run is, and how that is told: in plain lines every few seconds, or not at all (see `live` for a terminal)."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from metarun import memory

SECONDS = 5.0


@dataclass
class Progress:
    """The facts about a run under way that somebody who looks on wants to know."""

    name: str
    run_id: str
    rounds: int
    expected: list[str] = field(default_factory=list)
    """The stages of the whole run in their order, as far as they are known."""
    done: list[str] = field(default_factory=list)
    stage: str = ""
    method: str = ""
    step: int = 0
    steps: int = 0
    skipped: int = 0
    """Steps of earlier attempts."""
    loss: float | None = None
    value: str = ""
    """The last validation metric, as "rmse 0.9451"."""
    doing: str = "reading"
    began: float = field(default_factory=time.monotonic)
    opened: float = 0.0

    def open(self, stage: str, method: str, step: int, steps: int) -> None:
        """Enter a stage of so many steps, of which some are done."""
        self.stage, self.method, self.step, self.steps, self.skipped = stage, method, step, steps, step
        self.loss, self.doing, self.opened = None, "", time.monotonic()

    @property
    def round(self) -> int | None:
        """The round that the stage belongs to; None where it stands alone."""
        found = re.match(r"(?:own-)?(\d+)-", self.stage)
        return int(found[1]) if found else None

    @property
    def rate(self) -> float | None:
        """Steps per second in this attempt."""
        seconds = time.monotonic() - self.opened
        return (self.step - self.skipped) / seconds if self.step > self.skipped and seconds > 0 else None

    @property
    def next(self) -> list[str]:
        """The stages still to come."""
        return [stage for stage in self.expected if stage not in self.done and stage != self.stage]

    @property
    def label(self) -> str:
        """The stage, and the method where the stage is not named after it."""
        named = not self.method or self.method.replace("/", "-") in self.stage
        return self.stage if named else f"{self.stage} ({self.method})"

    def where(self) -> str:
        """Return experiment, run id and round."""
        number = f", round {self.round}/{self.rounds}" if self.round else ""
        return f"{self.name} {self.run_id}{number}"

    def numbers(self) -> list[str]:
        """Return rate, time left, loss and validation metric as far as they are known."""
        rate = self.rate
        found = [self.doing] if self.doing else []
        if rate and not self.doing:
            found += [f"{rate:,.0f} steps/s" if rate >= 10 else f"{rate:.2g} steps/s", f"{clock(self.left)} left"]
        if self.loss is not None:
            found.append(f"loss {self.loss:.4f}")
        return found + ([f"validation {self.value}"] if self.value else [])

    @property
    def left(self) -> float:
        """Seconds that the rest of the stage takes at this rate."""
        return (self.steps - self.step) / self.rate if self.rate else float("inf")

    def used(self) -> list[str]:
        """Return elapsed time and peak memory."""
        return [f"{clock(time.monotonic() - self.began)} elapsed", f"peak {memory.peak():,.0f} MB"]

    def line(self) -> str:
        """Return all of it in one line, for a log."""
        count = [f"{self.step} of {self.steps}"] if self.steps else []
        come = [f"then {', '.join(self.next)}"] if self.next else []
        return f"{self.where()}: {', '.join([self.label, *count, *self.numbers(), *self.used(), *come])}"


def clock(seconds: float) -> str:
    """Return a duration as a clock shows it.

    >>> clock(7), clock(754.4), clock(3723), clock(float("inf"))
    ('0:07', '12:34', '1:02:03', '-:--')
    """
    if seconds == float("inf"):
        return "-:--"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Silent:
    """Shows nothing: what ranks but the first do, and tests."""

    calm = float("inf")
    """The least seconds between two looks at what costs something, such as a loss on a GPU."""

    def __init__(self, progress: Progress | None = None) -> None:
        self.progress = progress or Progress("", "", 1)

    def __enter__(self) -> Silent:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def say(self, line: str) -> None:
        """Say something that stays."""

    def refresh(self) -> None:
        """Show the progress as it is now."""


class Lines(Silent):
    """Plain lines in a log: what is said, and where the run is every few seconds."""

    calm = SECONDS

    def say(self, line: str) -> None:
        """Write the line."""
        print(line, file=sys.stderr, flush=True)

    def refresh(self) -> None:
        """Write where the run is."""
        self.say(self.progress.line())


def paced(act: Callable[[], None], calm: float) -> Callable[[], None]:
    """Return a function that acts at most every `calm` seconds, the first time after as many."""
    last = time.monotonic()

    def maybe() -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= calm:
            last = now
            act()

    return maybe


def expected(strategies: Sequence[str], against: Sequence[str], rounds: int, each_round: bool) -> list[str]:
    """Return the stages of a run of the loop in their order, if nothing stops it early; see `pipeline.Pipeline.run`.

    against: what is judged beside the strategies.

    >>> expected(["transfer/finetune", "meta/maml"], ["baseline/ridge", "online/sgd"], 1, False)
    ['1-pretrain', '1-transfer', '1-meta', 'own-online-sgd', 'own-transfer-finetune']
    """
    found = ["1-pretrain"]
    for number in range(1, rounds + 1) if strategies else ():
        if number > 1 and each_round:
            found += [f"{number}-pretrain", f"own-{number}-pretrain"]
        found += [f"{number}-{method.split('/')[0]}" for method in strategies]
    for method in dict.fromkeys([*against, *strategies]):
        if method == "baseline/retrained":
            found += [f"own-{number}-retrain" for number in range(1, rounds + 1)]
        elif not method.startswith("baseline/") and method not in strategies[-1:]:
            found.append(f"own-{method.replace('/', '-')}")
    return found
