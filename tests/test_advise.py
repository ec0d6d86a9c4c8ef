"""The tournament: who takes part, that it halves, that it keeps to its time, and that no test task is read."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metarun import cli
from metarun.advise import tournament
from metarun.advise.candidates import Candidate, base, entered
from metarun.advise.command import seconds
from metarun.datasets.digits import Digits
from metarun.errors import MetarunError


def test_families_take_turns_and_the_experiments_backbone_comes_first() -> None:
    found = entered([*base("digits"), "pretrain=supervised"])
    assert {candidate.backbone for candidate in found} >= {"mlp", "conv4", "cnn_small"}
    assert found[0].backbone == "mlp"
    families = [candidate.strategy.split("/")[0] for candidate in entered(base("breast_cancer"))[:5]]
    assert families == ["transfer", "online", "adaptive", "meta", "baseline"]
    assert sum(candidate.strategy == "baseline/logistic" for candidate in found) == 1
    assert all(candidate.pretrain == "supervised" for candidate in found if candidate.strategy.startswith("transfer/"))
    assert len({candidate.name for candidate in found}) == len(found)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("digitz", "advise digitz: there is no such dataset. Did you mean 'digits'"),
        ("drifting", "drifting: is a stream"),
    ],
)
def test_what_is_no_dataset_of_tasks_is_refused(name: str, said: str) -> None:
    with pytest.raises(MetarunError, match=said):
        base(name)


@pytest.mark.parametrize("budget", ["10", "0s", "soon"])
def test_a_budget_is_a_time(budget: str) -> None:
    with pytest.raises(MetarunError, match=f"--budget {budget}: give a time"):
        seconds(budget)


def made(number: int) -> list[Candidate]:
    """Return candidates of which the last is the best."""
    return [Candidate("mlp", "none", f"meta/{place}", ()) for place in range(number)]


def played(cost: float) -> Any:
    """Return a round that takes so many seconds, in which a candidate is as good as its number."""

    def play(entry: tournament.Entry, number: int, folder: Path) -> str:
        time.sleep(cost)
        entry.values, entry.round = np.full(5, -float(entry.candidate.strategy.split("/")[1])), number
        entry.seconds = cost
        return "judge"

    return play


def test_a_third_goes_on_and_the_best_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tournament, "play", played(0.0))
    order, _ = tournament.hold(made(10), tmp_path, time.monotonic() + 60, lambda _: None)
    assert [entry.round for entry in order] == [3, 3, 2, 2, 1, 1, 1, 1, 1, 1]
    assert order[0].candidate.strategy == "meta/9"


def test_it_keeps_to_its_time_and_says_who_had_no_turn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tournament, "play", played(0.05))
    began = time.monotonic()
    order, _ = tournament.hold(made(100), tmp_path, began + 1.0, lambda _: None)
    assert time.monotonic() - began < 1.3
    assert 0 < sum(entry.round == 0 for entry in order) < 100
    assert order[0].round >= 2


def test_from_the_shell_without_a_test_task(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []
    given = Digits.tasks

    def tasks(self: Digits, split: str, cell: str | None = None) -> Any:
        asked.append(split)
        return given(self, split, cell)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Digits, "tasks", tasks)
    words = ["dataset.queries=2", "pipeline.meta.steps=9", "pipeline.meta.tasks=2", "--budget", "3s"]
    assert cli.main(["advise", "digits", *words]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "Take " in out
    assert "run it, with its test: metarun +experiment=digits_protonet dataset=digits" in out
    assert set(asked) == {"validation"}
    assert not list(tmp_path.iterdir()), "nothing is left behind"
