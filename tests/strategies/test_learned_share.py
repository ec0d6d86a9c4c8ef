"""Every share at once against a plain loop over rows in float64: gradient steps, weights and shares written out."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import torch

from metarun.backbones.plain import Plain
from metarun.heads.linear import Linear
from metarun.model import Model, Spec
from metarun.objectives.cross_entropy import CrossEntropy
from metarun.objectives.squared import Squared
from metarun.rule import Batch
from metarun.strategies.adaptive.fixed_share import FixedShare
from metarun.strategies.adaptive.learned_share import SHARES, LearnedShare
from metarun.strategies.gradient import Gradient

ROWS, FEATURES = 150, 3
Array = np.ndarray[Any, np.dtype[np.float64]]


def model(classes: int) -> Model:
    spec = Spec(shape=(FEATURES,), outputs=classes or 1, classes=classes)
    backbone = Plain(spec=spec)
    return Model(backbone, Linear(backbone=backbone, spec=spec), CrossEntropy() if classes else Squared(), spec)


def share(classes: int, rates: list[float], temperature: float) -> LearnedShare:
    return LearnedShare(model=model(classes), rule=Gradient, rates=rates, temperature=temperature).double()


def rows(classes: int) -> tuple[Array, Array, Array]:
    """Return features with a constant, labels whose rule turns round in the middle, and which of them come."""
    draws = np.random.default_rng(3)
    x = np.concatenate([draws.normal(size=(ROWS, FEATURES)), np.ones((ROWS, 1))], 1)
    signal = x[:, 0] * np.where(np.arange(ROWS) < ROWS // 2, 1, -1)
    y = np.digitize(signal, [-0.4, 0.4][: classes - 1]) if classes else signal + 0.1 * draws.normal(size=ROWS)
    return x, y, draws.random(ROWS) < 0.8


def batch(x: Array, y: Array, known: Array, classes: int) -> Batch:
    hidden = np.where(known, y, -1 if classes else np.nan)
    shown = torch.from_numpy(known.astype(float))
    return Batch(torch.from_numpy(x), torch.from_numpy(hidden), torch.ones(len(y)), shown, torch.tensor(0))


def softmax(z: Array) -> Array:
    likely = np.exp(z - z.max(-1, keepdims=True))
    return likely / likely.sum(-1, keepdims=True)


def loop(classes: int, rates: list[float], temperature: float, chunk: int) -> tuple[Array, Array, Array]:
    """Return (mixed predictions, weights of policies, weights of shares), in products of numbers."""
    x, y, known = rows(classes)
    alive = [True] * len(rates)
    weight = [np.zeros((FEATURES + 1, classes or 1)) for _ in rates]
    belief = np.full((len(SHARES), len(rates)), 1 / len(SHARES) / len(rates))
    outs = []
    for first in range(0, ROWS, chunk):
        part = slice(first, first + chunk)
        shown = np.flatnonzero(known[part])
        each = [x[part] @ own for own in weight]
        each = [softmax(out) for out in each] if classes else each
        outs.append(sum(belief[:, p].sum() * each[p] for p in range(len(rates)) if alive[p]))
        if not len(shown):
            continue
        for p, rate in enumerate(rates):
            out, label = each[p][shown], y[part][shown]
            if classes:
                loss = -np.log(out[np.arange(len(shown)), label]).sum()
                slope = out - np.eye(classes)[label]
            else:
                loss = ((out[:, 0] - label) ** 2).sum()
                slope = 2 * (out - label[:, None])
            alive[p] = bool(alive[p] and np.isfinite(loss))
            belief[:, p] *= np.exp(-loss / temperature) if alive[p] else 0.0
            weight[p] = weight[p] - rate * x[part][shown].T @ slope / len(shown)
        belief /= belief.sum()
        for k, spread in enumerate(SHARES):
            total = belief[k].sum()
            belief[k] = [
                (1 - spread) * b + spread * total * a / sum(alive) for a, b in zip(alive, belief[k], strict=True)
            ]
    return np.concatenate(outs), belief.sum(0), belief.sum(1)


@pytest.mark.parametrize("chunk", [1, 5])
@pytest.mark.parametrize(
    ("classes", "rates", "temperature"),
    [(2, [0.02, 0.3, 2.0], 1.0), (3, [0.05, 1.0], 1.5), (0, [0.01, 0.1], 2.0), (0, [0.05, 50.0], 2.0)],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:overflow|invalid value:RuntimeWarning")
def test_it_is_a_plain_loop_over_rows(classes: int, rates: list[float], temperature: float, chunk: int) -> None:
    rule = share(classes, rates, temperature)
    given = batch(*rows(classes), classes)
    with torch.no_grad():
        out, state = rule.follow(rule.init({}), given.x, given, chunk)
    found, policies, shares = loop(classes, [float(rate) for rate in rule.rates], temperature, chunk)
    np.testing.assert_allclose(out.exp() if classes else out, found, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(state["log_weight"].exp(), policies, rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(state["log_share"].exp(), shares, rtol=1e-7, atol=1e-12)


def test_no_share_costs_more_than_the_logarithm_of_their_number() -> None:
    """The bound that takes the place of a parameter, to every share on the grid: log K over the whole stream."""
    given = batch(*rows(2), 2)
    own = share(2, [0.02, 0.3, 2.0], 1.0)

    def total(rule: FixedShare) -> float:
        with torch.no_grad():
            out, _ = rule.follow(rule.init({}), given.x, given, 1)
            return float(rule.model.objective.rows(out, given.y.clamp(min=0))[given.known > 0].sum())

    fixed = functools.partial(FixedShare, model=model(2), rule=Gradient, rates=[0.02, 0.3, 2.0], temperature=1.0)
    each = [total(fixed(share=value).double()) for value in SHARES]
    assert total(own) <= min(each) + np.log(len(SHARES)) + 1e-9
    assert total(own) < max(each)
