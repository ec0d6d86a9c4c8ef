"""The closed form: ridge against numpy, rows in chunks against all at once, the dual form of a general prior."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._pytree import tree_map
from toys import rule, tasks

from metarun.rule import Batch, Task, chunks
from metarun.strategies.baseline.gaussian_prior import GaussianPrior
from metarun.strategies.gaussian import Gaussian
from metarun.strategies.meta.ridge import MetaRidge
from metarun.tasks import encode

METHODS = ["transfer/ridge", "baseline/ridge", "baseline/gaussian_prior", "meta/ridge"]
OVERRIDES = [(), ("backbone=mf_features",), ("backbone.bias=false",)]


def first(found: Gaussian, seed: int = 1) -> Task:
    """Return one task as the rule sees it, its support not padded."""
    seen = encode(found, tasks(4, seed=seed))
    return tree_map(lambda leaf: leaf[3].detach(), seen)


def arrays(found: Gaussian, batch: Batch) -> tuple[Any, Any]:
    """Return design and residual to the offset of the known rows."""
    kept = batch.known > 0
    x, y = batch.x[kept].numpy(), batch.y[kept].numpy()
    return (x[:, :-1], y - x[:, -1]) if found.model.head.offset else (x, y)


@pytest.mark.parametrize("overrides", OVERRIDES)
@pytest.mark.parametrize("method", ["transfer/ridge", "baseline/ridge"])
def test_ridge_is_least_squares_with_extra_rows(method: str, overrides: tuple[str, ...]) -> None:
    found = rule(method, {"penalty": 2.5, "bias_penalty": 0.7}, *overrides)
    assert isinstance(found, Gaussian)
    task = first(found)
    x, y = arrays(found, task.support)
    start = found.model.head.start(task.context).detach().numpy()[:, 0]
    towards = start if method == "transfer/ridge" else np.zeros_like(start)
    penalty = np.full(len(start), 2.5)
    if found.model.head.offset:
        penalty[-1] = 0.7
    # a penalty is a row sqrt(penalty) * w = sqrt(penalty) * towards of an ordinary least-squares problem
    extra = np.diag(np.sqrt(penalty))
    expected = np.linalg.lstsq(np.vstack([x, extra]), np.append(y, extra @ towards), rcond=None)[0]
    state = found.adapt(task)
    np.testing.assert_allclose(found.weight(state).detach().numpy()[:, 0], expected, rtol=1e-9)
    out = found.predict(state, task.query.x).detach().numpy()[:, 0]
    design, offset = (part.detach().numpy() for part in found.model.head.split(task.query.x))
    np.testing.assert_allclose(out, design @ expected + offset[:, 0], rtol=1e-9)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("rows", [1, 2, 3])
def test_rows_in_chunks_equal_all_at_once(method: str, rows: int) -> None:
    found = rule(method)
    assert isinstance(found, Gaussian)
    task = first(found)
    state = found.init(task.context)
    for part in chunks(task.support, rows):
        state = found.update(state, part)
    torch.testing.assert_close(found.weight(state), found.weight(found.adapt(task)), rtol=1e-10, atol=1e-12)


def test_no_row_leaves_the_prior_mean_and_many_rows_forget_it() -> None:
    found = rule("transfer/ridge", {"penalty": 1e-9, "bias_penalty": 1e-9})
    assert isinstance(found, Gaussian)
    start = found.model.head.start({}).detach()
    torch.testing.assert_close(found.weight(found.init({})).detach(), start)
    generator = torch.Generator().manual_seed(0)
    design = torch.randn(200, 4, generator=generator, dtype=torch.float64)
    one, zero = torch.ones(200, 1, dtype=torch.float64), torch.zeros(200, 1, dtype=torch.float64)
    truth = torch.tensor([[1.0], [-2.0], [0.5], [0.0], [3.0]], dtype=torch.float64)
    x = torch.cat([design, one, zero], 1)
    y = (x[:, :-1] @ truth)[:, 0]
    state = found.update(found.init({}), Batch(x, y, one[:, 0], one[:, 0], torch.tensor(0)))
    torch.testing.assert_close(found.weight(state).detach(), truth, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("method", ["baseline/gaussian_prior", "meta/ridge"])
def test_posterior_mean_by_conditioning_a_joint_gaussian(method: str) -> None:
    found = rule(method, {"noise": 1.5})
    assert isinstance(found, GaussianPrior | MetaRidge)
    task = first(found)
    x, y = arrays(found, task.support)
    mean, precision = (part.detach().numpy() for part in found.prior(task.context))
    covariance = np.linalg.inv(precision)
    gain = covariance @ x.T @ np.linalg.inv(x @ covariance @ x.T + np.eye(len(y)))
    expected = mean[:, 0] + gain @ (y - x @ mean[:, 0])
    np.testing.assert_allclose(found.weight(found.adapt(task)).detach().numpy()[:, 0], expected, rtol=1e-8)


def test_noise_is_a_factor_on_the_prior_s_worth() -> None:
    found = rule("baseline/gaussian_prior")
    assert isinstance(found, GaussianPrior)
    _, one = found.prior({})
    with found.set({"noise": 4.0}):
        torch.testing.assert_close(found.prior({})[1], 4 * one)


def test_isotropic_prior_starts_at_the_pretrained_head() -> None:
    found = rule("meta/ridge", {"prior_init": "isotropic"}, seed=0)
    assert isinstance(found, MetaRidge)
    with torch.no_grad():
        for parameter, value in ((found.mean, torch.zeros(5)), (found.root, torch.eye(5))):
            parameter.copy_(value)
    mean, precision = found.prior({})
    assert torch.equal(mean, found.model.head.weight)
    assert torch.equal(precision, torch.eye(5, dtype=torch.float64))


def test_commit_is_the_head() -> None:
    found = rule("transfer/ridge")
    state = found.init({})
    assert found.commit(state)["head.weight"].shape == found.model.head.weight.shape
