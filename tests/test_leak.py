"""What judges trains nothing: other values in the rows that are only for judging leave every model bit by bit alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import DictConfig
from torch import Tensor
from toys import Toy, composed, ratings

from metarun import build
from metarun.data.split import META, SOURCE, TEST, VALIDATION, WARM, roles
from metarun.evaluate import Judge
from metarun.pipeline import Pipeline

ROUNDS = 2
Learned = dict[str, dict[str, Tensor]]


@pytest.fixture(scope="module")
def cfg() -> DictConfig:
    """Every strategy and every baseline that learns from the training users, with a few steps each."""
    return composed(
        "+experiment=movielens_compare", "pretrain.epochs=2", "pretrain.batch=256", "pipeline.meta.steps=2",
        "pipeline.meta.tasks=8", f"pipeline.rounds={ROUNDS}", "pipeline.repretrain=each_round",
        "trainer.accelerator=cpu", "trainer.threads=1",
    )  # fmt: skip


def trained(cfg: DictConfig, poisoned: tuple[int, ...], folder: Path) -> tuple[Learned, dict[str, float]]:
    """Return the tensors of every stage and of every prepared method, and the validation values of the stages.

    Every rating of the roles `poisoned` and every tag of users who have no other rows is replaced by another.
    """
    plain = ratings(users=100)
    bad = np.isin(roles("cold", plain, 0, ROUNDS), poisoned)
    value = np.where(bad, plain.value % 5 + 1, plain.value)
    features = np.append(plain.item_features, np.zeros((plain.n_items, 1), np.float32), axis=1)
    wholly = np.logical_and.reduceat(bad, plain.offsets[:-1])  # a user with withheld rows is a training user
    tags = np.array([(user, user + 100 * wholly[user], 3) for user in range(100)], np.int32)
    data = Toy(replace(plain, value=value, item_features=features, item_feature_names=list("cdef"), tags=tags))
    judge = Judge(data, metric="rmse", validation_tasks=10, stream_rows=10, chunk=512, vmapped=True)
    pipeline = Pipeline(cfg, data, folder, judge)
    learned: Learned = {}
    for method, product in pipeline.run().items():
        model = build.model(cfg, data.spec)
        model.load_state_dict(product.model)
        rule = build.rule(cfg, method, model)
        if product.rule is None:
            pipeline.prepare(rule, ROUNDS)
        learned[method] = {**product.model, **(product.rule or rule.state_dict())}
    values = {}
    for place in pipeline.store.folder.iterdir():
        found = pipeline.store.load(place.name)
        assert found is not None
        learned[place.name] = {**found["model"], **found.get("rule", {})}
        values[place.name] = found.get("value", 0.0)
    return learned, values


def differing(one: Learned, other: Learned) -> set[str]:
    """Return the stages and methods of which any tensor differs."""
    assert one.keys() == other.keys()
    for name in one:
        assert one[name].keys() == other[name].keys()
    return {name for name in one if any(not torch.equal(t, other[name][key]) for key, t in one[name].items())}


def test_rows_that_judge_train_nothing(cfg: DictConfig, tmp_path: Path) -> None:
    learned, values = trained(cfg, (), tmp_path / "plain")
    assert {"baseline/ridge", "baseline/gaussian_prior", "meta/maml", "own-meta-maml", "2-pretrain"} <= learned.keys()
    judged, others = trained(cfg, (VALIDATION, TEST, WARM), tmp_path / "judging")
    assert differing(learned, judged) == set()
    assert all(others[name] != value for name, value in values.items() if name.startswith(("1-meta", "own-meta")))
    # The comparison sees what training rows do.
    source, _ = trained(cfg, (SOURCE,), tmp_path / "source")
    meta, _ = trained(cfg, (META,), tmp_path / "meta")
    assert differing(learned, source) == learned.keys()
    assert {"meta/maml", "meta/ridge", "transfer/finetune", "online/sgd"} <= differing(learned, meta)
