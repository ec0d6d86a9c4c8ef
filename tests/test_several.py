"""Two processes do what one does: the same losses, results counted once, a killed one costs what was not saved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from several import losses, together
from small_run import SMALL, Kill, bits, differing, folder_of, said

from metarun.errors import PeerGone

MAML = [*SMALL, "strategy=meta/maml", "pipeline.rounds=1", "evaluate.against=[transfer/finetune]"]
RIDGE = [*MAML, "strategy=meta/ridge", "backbone=mf_features", "pipeline.meta.tasks=17", "pretrain.batch=241"]
HALF = [*MAML, "pretrain=plain", "pretrain.lr=0.001", "backbone.bias=false"]
WHOLE = [*MAML, "strategy.meta.moves=both", "strategy.meta.learns=all", "strategy.meta.learn_rate=none"]
RANKING = [
    *MAML, "objective=ranking", "objective.negatives=3", "evaluate=lists", "dataset.positive=3", "pretrain=ranking",
    "pretrain.batch=100", "evaluate.against=[baseline/popularity]",
    "evaluate.reference=baseline/popularity",
]  # fmt: skip
CASES = {"maml": MAML, "ridge": RIDGE, "half_sum": HALF, "whole": WHOLE, "ranking": RANKING}
"""Runs by name; ridge has batches and meta-batches that do not divide by two."""

Home = Callable[..., Path]


@pytest.fixture(scope="module")
def done(few_ratings: Path, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Return a function that gives the home of a case's run in so many processes, done once."""
    known: dict[tuple[str, int], Path] = {}

    def found(case: str, count: int) -> Path:
        if (case, count) not in known:
            home = tmp_path_factory.mktemp("home")
            assert together(words(case, few_ratings, home, count), home, count) == [0] * count, said(home)[-3000:]
            known[case, count] = home
        return known[case, count]

    return found


def words(case: str, data: Path, home: Path, count: int) -> list[str]:
    return [*CASES[case], f"paths.data={data}", f"paths.outputs={home}/outputs", f"trainer.devices={count}"]


def close(one: Path, other: Path, number: int = 0) -> None:
    """Assert the same losses, step by step, to rounding."""
    whole, parts = losses(one), losses(other, number)
    trained = [stage for stage in parts if stage.endswith(("pretrain", "meta"))]
    assert len(trained) == 2
    for stage in trained:
        assert len(whole[stage]) == len(parts[stage]) >= 20
        np.testing.assert_allclose(parts[stage], whole[stage], rtol=5e-6, err_msg=stage)


@pytest.mark.parametrize("case", ["maml", pytest.param("ridge", marks=pytest.mark.slow)])
def test_two_processes_have_the_losses_of_one(case: str, done: Home) -> None:
    close(done(case, 1), done(case, 2))
    close(done(case, 2), done(case, 2), number=1)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["half_sum", "whole", "ranking"])
def test_so_they_do_under_other_losses(case: str, done: Home) -> None:
    close(done(case, 1), done(case, 2))


@pytest.mark.nightly
def test_three_processes_share_what_does_not_divide_by_three(done: Home) -> None:
    close(done("ridge", 1), done("ridge", 3), number=2)


def test_only_the_first_one_judges_adapts_and_writes(done: Home) -> None:
    home = done("maml", 2)
    one, first, second = losses(done("maml", 1)), losses(home), losses(home, 1)
    assert len(first["judged"]) == len(one["judged"]) > 0
    assert "judged" not in second
    assert "own-transfer-finetune" in first
    assert "own-transfer-finetune" not in second
    assert said(home).count("1-meta (meta/maml): 20 steps") == 1
    assert said(home).count("judged 3 methods in") == 1


@pytest.mark.parametrize(
    ("number", "kill"),
    [
        (1, Kill("step", "1-meta", 13)),
        pytest.param(0, Kill("step", "1-pretrain", 8), marks=pytest.mark.nightly),
        pytest.param(0, Kill("call", "Judge.validation", 3), marks=pytest.mark.nightly),
    ],
)
def test_a_killed_process_ends_the_others_and_costs_no_bit(
    number: int, kill: Kill, done: Home, few_ratings: Path, tmp_path: Path
) -> None:
    whole = done("maml", 2)
    given = words("maml", few_ratings, tmp_path, 2)
    codes = together(given, tmp_path, 2, {number: kill})
    assert codes[number] == -9
    assert codes[1 - number] == PeerGone.code
    assert "another of the 2 processes of this run has ended" in said(tmp_path)
    assert together(given, tmp_path, 2) == [0, 0], said(tmp_path)[-3000:]
    names = differing(bits(folder_of(tmp_path)), bits(folder_of(whole)))
    assert not names, names[:5]


def test_another_number_of_processes_than_the_config_says_is_refused(few_ratings: Path, tmp_path: Path) -> None:
    assert together(words("maml", few_ratings, tmp_path, 1), tmp_path, 2) == [2, 2]
    assert "trainer.devices=1 on trainer.nodes=1 are 1 processes, and there are 2" in said(tmp_path)
