"""Exact resume: a run is killed anywhere, again and again, and ends with the bits of an undisturbed one."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from small_run import (
    SHORT,
    SMALL,
    Changes,
    Kill,
    attempt,
    bits,
    differing,
    folder_of,
    one_user_per_step,
    steps_taken,
)

from metarun import build, config
from metarun.report.progress import expected

pytestmark = pytest.mark.slow

SAVE_EVERY = 5
ALL = "strategy=[transfer/finetune,adaptive/fixed_share,online/sgd,meta/maml]"
OVER_TIME = [
    "strategy=[transfer/finetune,online/sgd,meta/update_rule]", "dataset.split=time",
    "pipeline.repretrain=each_round", "evaluate.prequential=true",
    "evaluate.against=[baseline/ridge,baseline/retrained]",
]  # fmt: skip


class Run(NamedTuple):
    """A run's options and the home of its folders, logs and counted steps."""

    home: Path
    overrides: list[str]

    def attempt(self, kill: Kill | None = None, changes: Changes = (), after: float = 1e9) -> int:
        """Start the run or take it up in a process of its own, and return the exit code."""
        return attempt(self.overrides, self.home, kill, [one_user_per_step, *changes], after)

    def bits(self) -> dict[str, Any]:
        """Return all that the run left."""
        return bits(folder_of(self.home))

    def steps(self) -> int:
        """Return the optimiser steps of all attempts."""
        return len(steps_taken(self.home))


Begin = Callable[..., Run]


@pytest.fixture(scope="module")
def begin(few_ratings: Path, tmp_path_factory: pytest.TempPathFactory) -> Begin:
    """Return a function that opens a home for a run with the given options."""

    def opened(*overrides: str) -> Run:
        home = tmp_path_factory.mktemp("home")
        own = [f"paths.outputs={home}/outputs", f"paths.data={few_ratings}", f"pipeline.save_every={SAVE_EVERY}"]
        return Run(home, [*SMALL, *own, *overrides])

    return opened


@pytest.fixture(scope="module")
def whole_run(begin: Begin) -> Callable[..., Run]:
    """Return a function that gives the run with these options that nobody killed, and runs it once."""
    known: dict[tuple[str, ...], Run] = {}

    def found(*overrides: str) -> Run:
        if overrides not in known:
            run = begin(*overrides)
            assert run.attempt() == 0
            known[overrides] = run
        return known[overrides]

    return found


def survive(run: Run, kills: Sequence[Kill], changes: Changes = ()) -> None:
    """Kill the run once at every place, each attempt taking up the one before, and let the last attempt finish."""
    for kill in kills:
        assert run.attempt(kill, changes) != 0, f"never reached: {kill}"
    assert run.attempt(changes=changes) == 0


def compare(run: Run, with_: Run, kills: int) -> None:
    """Assert equal bits, and that no more was computed twice than the kills cost."""
    repeated = run.steps() - with_.steps()
    assert repeated <= kills * SAVE_EVERY, f"{repeated} steps were repeated after {kills} kills"
    names = differing(run.bits(), with_.bits())
    assert not names, f"other bits: {', '.join(names[:5])}"


def test_a_run_killed_anywhere_ends_with_the_same_bits(begin: Begin, whole_run: Callable[..., Run]) -> None:
    kills = [
        Kill("write", "manifest.json", 1, "half"),
        Kill("write", "manifest.json", 1, "after"),
        *(Kill("step", "1-pretrain", at) for at in (3, 17)),
        Kill("write", "1-pretrain/last.ckpt", 2, "half"),
        *(Kill("write", "1-pretrain/last.ckpt", 1, part) for part in ("before", "after")),
        Kill("step", "1-pretrain", 34),
        *(Kill("step", "1-transfer", at) for at in (2, 4, 7)),
        Kill("write", "1-transfer/model.ckpt", 1, "half"),
        Kill("write", "1-transfer/metrics.jsonl", 1, "after"),
        *(Kill("step", "1-adaptive", at) for at in (6, 18, 30)),
        *(Kill("step", "1-online", at) for at in (1, 13, 24)),
        *(Kill("step", "1-meta", at) for at in (4, 11, 20)),
        Kill("call", "Judge.validation", 1),
        Kill("step", "2-transfer", 10),
        Kill("step", "2-online", 9),
        Kill("step", "2-meta", 16),
        Kill("step", "own-online-sgd", 3),
        Kill("call", "Judge.validation", 40),
        Kill("call", "Judge.test", 2),
        Kill("write", "evaluate-adaptive-fixed_share/choices.json", 1, "before"),
        Kill("call", "Judge.references", 1),
        Kill("write", "task_scores.npz", 1, "half"),
        Kill("write", "metrics.jsonl", 1, "before"),
        Kill("write", "summary.json", 1, "half"),
    ]
    whole, run = whole_run(ALL), begin(ALL)
    began = time.monotonic()
    survive(run, kills)
    compare(run, whole, len(kills))
    in_loops = Counter(kill.where.split("-")[1] for kill in kills if kill.kind == "step")
    assert len(kills) >= 20
    assert all(in_loops[stage] >= 3 for stage in ("pretrain", "transfer", "adaptive", "online", "meta"))
    assert whole.steps() == bits(folder_of(whole.home))["summary"]["optimiser_steps"]
    assert not list(folder_of(run.home).rglob(".*.tmp")), "what killed processes left is swept away"
    assert not list(folder_of(run.home).rglob("last.ckpt"))
    print(f"{len(kills)} kills, {run.steps()} of {whole.steps()} steps, {time.monotonic() - began:.0f} s")


@pytest.mark.nightly
def test_a_run_over_time_with_repeated_pretraining_ends_with_the_same_bits(
    begin: Begin, whole_run: Callable[..., Run]
) -> None:
    kills = [
        Kill("step", "1-transfer", 3),
        Kill("step", "1-online", 12),
        Kill("step", "2-pretrain", 23),
        Kill("step", "2-online", 8),
        Kill("step", "2-meta", 12),
        Kill("step", "own-2-retrain", 20),
        Kill("call", "Judge.tune_stream", 2),
    ]
    whole, run = whole_run(*OVER_TIME), begin(*OVER_TIME)
    survive(run, kills)
    compare(run, whole, len(kills))


@pytest.mark.nightly
def test_a_run_killed_at_random_moments_ends_with_the_same_bits(begin: Begin, whole_run: Callable[..., Run]) -> None:
    whole, run = whole_run(ALL), begin(ALL)
    moments, kills = random.Random(5), 0
    while kills < 10 and run.attempt(after=moments.uniform(0.1, 1.5)) != 0:
        kills += 1
    assert run.attempt() == 0
    compare(run, whole, kills)


def test_a_curve_has_every_step_of_its_stage(whole_run: Callable[..., Run]) -> None:
    run = whole_run(ALL)
    rows = [json.loads(line) for line in run.bits()["metrics"]]
    steps = Counter(row["stage"] for row in rows if row["split"] == "train")
    taken = Counter(line.split()[0] for line in steps_taken(run.home))
    assert steps == {stage: count for stage, count in taken.items() if "pretrain" in stage or "meta" in stage}


@pytest.mark.parametrize("overrides", [(ALL,), tuple(OVER_TIME)])
def test_the_stages_that_a_run_expects_are_those_that_it_has(
    overrides: tuple[str, ...], whole_run: Callable[..., Run]
) -> None:
    run = whole_run(*overrides)
    cfg = config.compose(run.overrides)
    each = cfg.pipeline.repretrain == "each_round"
    found = expected(build.strategies(cfg), [*cfg.evaluate.against, cfg.evaluate.reference], cfg.pipeline.rounds, each)
    assert sorted(found) == sorted(path.parent.name for path in folder_of(run.home).glob("checkpoints/*/model.ckpt"))


def test_a_finished_run_computes_nothing_again(whole_run: Callable[..., Run]) -> None:
    run = whole_run(ALL)
    before, files = run.steps(), {path: path.stat().st_mtime_ns for path in folder_of(run.home).rglob("*")}
    assert run.attempt() == 0
    assert run.steps() == before
    assert files == {path: path.stat().st_mtime_ns for path in folder_of(run.home).rglob("*")}


# ---------------------------------------------------------------------- these tests can fail


def ignore_checkpoints() -> None:
    """Start a stage over whatever was saved."""
    import pytorch_lightning

    trainer: Any = pytorch_lightning.Trainer
    fit = trainer.fit
    trainer.fit = lambda self, stage, loader, ckpt_path: fit(self, stage, loader)


def ignore_finished_stages() -> None:
    """Do again what an earlier attempt has done."""
    from metarun import store

    kept: Any = store.Store
    load, save, own = kept.load, kept.save, set()

    def saved(self: Any, key: str, *rest: Any) -> None:
        own.add(key)
        save(self, key, *rest)

    kept.load = lambda self, key: load(self, key) if key in own else None
    kept.save = saved


def forget_moments() -> None:
    """Continue with a fresh Adam."""
    _without("optimizer_states", lambda state: {**state, "state": {}})


def forget_the_schedule() -> None:
    """Continue at the first rate."""
    _without("lr_schedulers", lambda state: {**state, "last_epoch": 0, "_step_count": 1})


def replay_from_the_first_batch() -> None:
    """Take the right number of steps on the wrong batches, as Lightning by itself does."""
    from metarun.stages.loop import Steps

    Steps.__iter__ = lambda self: map(self.batch, range(self.steps - self.stage.position))  # type: ignore[method-assign]


def _without(key: str, change: Callable[[Any], Any]) -> None:
    from metarun.stages import loop

    module: Any = loop
    read = module.read

    def other(path: Path) -> dict[str, Any]:
        checkpoint = read(path)
        return {**checkpoint, key: [change(state) for state in checkpoint[key]]}

    module.read = other


@pytest.mark.parametrize(
    ("break_it", "complaint"),
    [
        (ignore_checkpoints, "steps were repeated"),
        (ignore_finished_stages, "steps were repeated"),
        (forget_moments, "other bits"),
        (forget_the_schedule, "other bits"),
        (replay_from_the_first_batch, "other bits"),
    ],
)
def test_the_comparison_fails_where_resuming_is_broken(
    break_it: Callable[[], None], complaint: str, begin: Begin, whole_run: Callable[..., Run]
) -> None:
    whole, run = whole_run(*SHORT), begin(*SHORT)
    kills = [Kill("step", "1-pretrain", 28), Kill("step", "1-meta", 18)]
    survive(run, kills, [break_it])
    with pytest.raises(AssertionError, match=complaint):
        compare(run, whole, len(kills))
