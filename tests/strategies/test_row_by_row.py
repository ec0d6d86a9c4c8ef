"""What numpy does row by row is what torch does with the same rule."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from torch.utils._pytree import tree_leaves

from metarun.backbones.plain import Plain
from metarun.errors import MetarunError
from metarun.heads.linear import Linear
from metarun.model import Model, Spec
from metarun.objectives.cross_entropy import CrossEntropy
from metarun.objectives.squared import Squared
from metarun.rule import Batch, Rule
from metarun.strategies.adaptive.fixed_share import FixedShare
from metarun.strategies.adaptive.learned_share import SHARES, LearnedShare
from metarun.strategies.baseline.last_label import Counting
from metarun.strategies.baseline.still import Frozen
from metarun.strategies.gradient import Gradient

ROWS, FEATURES = 60, 8


def model(classes: int) -> Model:
    spec = Spec(shape=(FEATURES,), outputs=classes or 1, groups={"inputs": (0, 5), "lags": (5, 8)})
    backbone = Plain(spec=spec)
    return Model(backbone, Linear(backbone=backbone, spec=spec), CrossEntropy() if classes else Squared(), spec)


def rows(classes: int, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    x = torch.cat([torch.randn(ROWS, FEATURES, generator=generator), torch.ones(ROWS, 1)], 1)
    y = torch.randint(classes, (ROWS,), generator=generator) if classes else torch.randn(ROWS, generator=generator)
    known = (torch.rand(ROWS, generator=generator) < 0.8).float()
    hidden = torch.where(known > 0, y, -1 if classes else torch.nan)
    return Batch(x, hidden, torch.ones(ROWS), known, torch.zeros(()))


def share(classes: int, **changes: Any) -> FixedShare:
    fields: dict[str, Any] = {"rates": [0.01, 0.05, 0.1], "share": 0.02, "temperature": 1.0} | changes
    return FixedShare(model=model(classes), rule=functools.partial(Gradient), **fields)


RULES = {
    "gradient": lambda classes: Gradient(model=model(classes), inner_lr=0.05),
    "scalar": lambda classes: Gradient(model=model(classes), inner_lr=0.05, learn_rate="scalar"),
    "weights": lambda classes: Gradient(model=model(classes), inner_lr=0.05, learn_rate="parameter"),
    "share": share,
    "sets": lambda classes: share(classes, sets=[["inputs"], ["inputs", "lags"]]),
    "no share": lambda classes: share(classes, share=0.0),
    "last label": lambda classes: Counting(model=model(classes), memory=0.0),
    "majority": lambda classes: Counting(model=model(classes), memory=1.0),
    "forgetting": lambda classes: Counting(model=model(classes), memory=0.5),
    "frozen": lambda classes: Frozen(model=model(classes)),
}


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("chunk", [1, 7])
@pytest.mark.parametrize("classes", [0, 2, 3])
@pytest.mark.parametrize("name", RULES)
def test_following_is_step_after_step(name: str, classes: int, chunk: int, late: bool) -> None:
    rule, batch = RULES[name](classes), rows(classes)
    for parameter in rule.parameters():
        torch.nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(1))
    ask = rows(classes, seed=5).x if late else batch.x
    with torch.no_grad():
        start = rule.init({})
        found, expected = (follow(start, ask, batch, chunk) for follow in (
            rule.follow, lambda *given: Rule.follow(rule, *given)))  # fmt: skip
    for a, b in zip(tree_leaves(found), tree_leaves(expected), strict=True):
        assert a.dtype == b.dtype
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_a_policy_that_diverges_is_out_and_the_mixture_is_not() -> None:
    rule, batch = share(0, rates=[0.05, 50.0]), rows(0)
    with torch.no_grad():
        out, state = rule.follow(rule.init({}), batch.x, batch, 1)
    assert out.isfinite().all()
    assert state["log_weight"].exp().tolist() == [1.0, 0.0]


def test_classes_are_mixed_as_probabilities() -> None:
    rule, batch = share(3), rows(3)
    with torch.no_grad():
        _, state = rule.follow(rule.init({}), batch.x, batch, 1)
        out = rule.predict(state, batch.x)
        each = torch.stack([
            (batch.x @ state["rules"]["theta"]["head"][p]).softmax(-1) for p in range(3)
        ])  # fmt: skip
    mixed = torch.einsum("p,pbc->bc", state["log_weight"].exp(), each)
    torch.testing.assert_close(out.exp(), mixed)


def test_losses_told_are_those_of_each_policy_alone() -> None:
    rule, batch = share(3), rows(3)
    with torch.no_grad():
        _, state = rule.follow(rule.init({}), batch.x, batch, 1)
        for number, rate in enumerate((0.01, 0.05, 0.1)):
            alone = Gradient(model=rule.model, inner_lr=rate)
            out, _ = alone.follow(alone.init({}), batch.x, batch, 1)
            shown = batch.known > 0
            loss = torch.nn.functional.cross_entropy(out[shown], batch.y[shown], reduction="sum")
            assert float(state["loss"][number]) == pytest.approx(float(loss), rel=1e-5)
            assert float(state["hits"][number]) == float((out[shown].argmax(1) == batch.y[shown]).sum())


def test_unknown_groups_are_refused_by_name() -> None:
    with pytest.raises(MetarunError, match="names 'lag', but the groups of features of this dataset are inputs, lags"):
        share(2, sets=[["lag"]])


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("chunk", [1, 7])
@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("name", ["gradient", "share", "sets", "no share", "warm"])
def test_compiled_loops_are_the_same_rule(name: str, classes: int, chunk: int, late: bool) -> None:
    pytest.importorskip("numba")
    made = RULES[name](classes) if name != "warm" else share(classes, temperature=2.0)
    rule, batch = made.double(), rows(classes)
    x = batch.x.double()
    batch = batch._replace(x=x, y=batch.y if classes else batch.y.double())
    ask, found = rows(classes, seed=5).x.double() if late else x, []
    for kernel in ("numpy", "numba"):
        rule.kernel = kernel
        with torch.no_grad():
            found.append(rule.follow(rule.init({}), ask, batch, chunk))
    for a, b in zip(*map(tree_leaves, found), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-8)


def test_a_diverging_policy_is_out_in_compiled_loops_too() -> None:
    pytest.importorskip("numba")
    rule, batch = share(0, rates=[0.05, 50.0]), rows(0)
    rule.kernel = "numba"
    with torch.no_grad():
        out, state = rule.follow(rule.init({}), batch.x, batch, 1)
    assert out.isfinite().all()
    assert state["log_weight"].exp().tolist() == [1.0, 0.0]


def test_a_learned_share_is_bayes_over_shares_and_switching_policies() -> None:
    """Forward algorithm of a hidden Markov chain for every share, in plain numbers."""
    rule = LearnedShare(model=model(2), rule=functools.partial(Gradient), rates=[0.01, 0.3], temperature=1.0)
    batch = rows(2)
    batch = batch._replace(y=batch.y.clamp(min=0), known=torch.ones(ROWS))
    with torch.no_grad():
        out, state = rule.follow(rule.init({}), batch.x, batch, 1)
        alone = [Gradient(model=model(2), inner_lr=rate) for rate in (0.01, 0.3)]
        each = torch.stack([r.follow(r.init({}), batch.x, batch, 1)[0].softmax(-1) for r in alone]).double()
    likely = each.gather(-1, batch.y.expand(2, ROWS)[..., None])[..., 0]
    belief = torch.full((len(SHARES), 2), 1 / (2 * len(SHARES)), dtype=torch.float64)
    for row in range(ROWS):
        mixed = belief.sum(0) @ each[:, row]
        torch.testing.assert_close(out[row].exp().double(), mixed, rtol=1e-4, atol=1e-5)
        belief = belief * likely[:, row] / (belief * likely[:, row]).sum()
        share = torch.tensor(SHARES, dtype=torch.float64)[:, None]
        belief = (1 - share) * belief + share * belief.sum(1, keepdim=True) / 2
    torch.testing.assert_close(state["log_share"].exp().double(), belief.sum(1), rtol=1e-3, atol=1e-5)
