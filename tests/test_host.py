"""No step waits for the host: on the meta device tensors have no values, so that whatever reads one is an error.

This stands for a GPU where there is none: batches are put together there, and the loss is found there.
"""

from __future__ import annotations

import pytest
import torch
from torch.utils._pytree import tree_leaves
from toys import Toy, composed, ratings, rule, spec

from metarun import build
from metarun.stages.meta import Meta
from metarun.stages.pretrain import Pretrain

META = torch.device("meta")


def test_batches_of_tasks_are_put_together_on_the_device() -> None:
    for data in (Toy(ratings(users=200)), Toy(ratings(users=600, least=6, most=12), split="time", supports=(0, 1, 2))):
        tasks = data.train_tasks(1, 2, seed=0).to(META)
        leaves = tree_leaves(tasks.batch(torch.arange(16, device=META)))
        assert {leaf.device for leaf in leaves} == {META}
    ranked = Toy(ratings(users=200), negatives=3, positive=1.0).train_tasks(1, 2, seed=0).to(META)
    assert ranked.batch(torch.arange(16, device=META)).support.x["others"].device == META


def test_batches_of_rows_are_put_together_on_the_device() -> None:
    source = Toy(ratings(users=200)).source(64, seed=0).to(META)
    assert {leaf.device for leaf in tree_leaves(source.batch(0))} == {META}
    assert {leaf.device for leaf in tree_leaves(source.batch(len(source) - 1))} == {META}


def test_moved_they_are_the_same_batches() -> None:
    data, device = Toy(ratings(users=200)), torch.device("cpu")
    for made, step in ((data.train_tasks(1, 2, seed=0), torch.arange(16)), (data.source(64, seed=0), 3)):
        one, other = tree_leaves(made.batch(step)), tree_leaves(made.to(device).batch(step))
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("method", ["meta/maml", "meta/ridge", "meta/update_rule"])
def test_a_meta_step_reads_nothing(method: str) -> None:
    data = Toy(ratings(items=30, most=25, users=200))
    stage = Meta(rule(method).float(), 0.1, 10, True).to(META)
    batch = data.train_tasks(1, 2, seed=0).to(META).batch(torch.arange(16, device=META))
    context = {**batch.context, "features": torch.zeros(16, 3, device=META)}
    stage.training_step(batch._replace(context=context), 0).backward()
    assert stage.recent.device == META


@pytest.mark.parametrize("kind", ["matrix_factorisation", "ranking"])
def test_a_step_of_pretraining_reads_nothing(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ranks = ("objective=ranking", "evaluate=lists", "dataset.positive=1") if kind == "ranking" else ()
    cfg = composed(f"pretrain={kind}", *ranks)
    stage = Pretrain(build.pretraining(cfg, build.model(cfg, spec()), spec()), 10, 0).to(META)
    user, x, y, context = Toy(ratings(items=30, most=25, users=12)).source(64, seed=0).to(META).batch(0)
    context["features"] = torch.zeros(len(y), 3, device=META)
    # No generator draws on the meta device; on a GPU one does.
    monkeypatch.setattr(torch, "Generator", lambda device: Unseeded())
    monkeypatch.setattr(torch, "rand", lambda *size, generator, device: torch.empty(*size, device=device))
    monkeypatch.setattr(
        torch, "randint", lambda most, size, generator, device: torch.empty(size, dtype=torch.long, device=device)
    )
    stage.training_step((user, x, y, context), 0).backward()
    assert stage.recent.device == META


class Unseeded:
    def manual_seed(self, seed: int) -> None:
        """Take note of nothing."""
