"""One loop of steps: interrupted and taken up, spoilt, and its checkpoint damaged."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor

from metarun.errors import MetarunError
from metarun.stages.loop import Guard, Stage, fit
from metarun.stages.pretrain import decaying_adam


class Line(Stage):
    """Fits a line; remembers every batch, rate and moment."""

    rate_key = "line.lr"

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.line, self.steps = torch.nn.Linear(3, 1), steps
        with torch.no_grad():
            self.line.weight.fill_(0.1)
            self.line.bias.fill_(0.0)
        self.seen: list[tuple[int, float]] = []

    def training_step(self, batch: Tensor, index: int) -> Tensor:
        """Return a squared error."""
        rate = self.trainer.optimizers[0].param_groups[0]["lr"]
        self.seen.append((int(batch[0, 0]), rate))
        loss: Tensor = (self.line(batch.sin()) - 1.0).square().mean()
        self.recent = loss.detach()
        return loss

    def configure_optimizers(self) -> Any:
        """Return Adam and its schedule."""
        return decaying_adam(self.parameters(), 0.1, self.steps)


def numbered(step: int) -> Tensor:
    """Return the batch of a step."""
    return torch.full((2, 3), float(step))


def stopped_after(step: int, batch: Callable[[int], Tensor], guards: list[Guard]) -> Callable[[int], Tensor]:
    """Return batches that bring a Ctrl-C while this step is made ready."""

    def found(number: int) -> Tensor:
        if number == step - 1:
            guards[-1].ask(2, None)
        return batch(number)

    return found


@pytest.mark.parametrize("stops", [[1], [4, 5, 11], [20]])
def test_moments_and_schedule_go_on_exactly(stops: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guards: list[Guard] = []
    make = Guard.setup

    def remember(self: Guard, *rest: Any, **named: Any) -> None:
        guards.append(self)
        make(self, *rest, **named)

    monkeypatch.setattr(Guard, "setup", remember)
    trainer = OmegaConf.create({"accelerator": "cpu"})

    def run(folder: str, stop: int | None = None) -> Line:
        stage = Line(20)
        batch = numbered if stop is None else stopped_after(stop, numbered, guards)
        if stop is None:
            fit(stage, batch, 20, tmp_path / folder, "line", trainer=trainer, save_every=50)
        else:
            with pytest.raises(KeyboardInterrupt):
                fit(stage, batch, 20, tmp_path / folder, "line", trainer=trainer, save_every=50)
        return stage

    whole = run("whole")
    seen: list[tuple[int, float]] = []
    for stop in stops:
        seen += run("parts", stop).seen
    last = run("parts")
    assert seen + last.seen == whole.seen
    assert torch.equal(last.line.weight, whole.line.weight)
    if stops != [20]:  # nothing was left to do there, so no optimiser was made
        one, other = (s.trainer.optimizers[0].state_dict()["state"] for s in (whole, last))
        assert all(torch.equal(one[i][k], other[i][k]) for i in one for k in one[i])


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").write_bytes(b"half of it")
    with pytest.raises(MetarunError, match=r"cannot read .*last\.ckpt .*remove this file"):
        fit(Line(3), numbered, 3, tmp_path, "line", trainer=OmegaConf.create({"accelerator": "cpu"}), save_every=2)


class Spoilt(Stage):
    """Its loss is 0 and the gradient of it is not a number."""

    rate_key = "spoilt.lr"

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def training_step(self, batch: Tensor) -> Tensor:
        """Return the square root of 0."""
        loss: Tensor = (self.weight**2).sum().sqrt()
        self.recent = loss.detach()
        return loss

    def configure_optimizers(self) -> Any:
        """Return plain gradient descent."""
        return torch.optim.SGD(self.parameters(), 0.1)


def test_a_last_step_that_spoils_the_model_is_not_handed_on(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(MetarunError, match=r"the parameters are not numbers at step 1 of 1.*Lower spoilt\.lr"):
        fit(
            Spoilt(), lambda step: torch.zeros(1), 1, tmp_path, "spoilt",
            trainer=OmegaConf.create({"accelerator": "cpu"}), save_every=5,
        )  # fmt: skip
    assert signal.getsignal(signal.SIGINT) is before, "Ctrl-C is ours again after a failure"


def test_a_gpu_is_not_asked_at_every_step(tmp_path: Path) -> None:
    guard = Guard(tmp_path / "last.ckpt", 10, "line", 50)
    assert all(guard.looks(step) for step in range(1, 51)), "a CPU is"
    guard.on_gpu = True
    assert [step for step in range(1, 51) if guard.looks(step)] == [20, 40, 50]
