"""Fixed share with two rates, weights by hand, and what it guarantees."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from toys import rule

from metarun.rule import Batch
from metarun.strategies.adaptive.fixed_share import FixedShare


def made(**changes: Any) -> FixedShare:
    """Return a rule over the rates .25 and .5 whose model predicts 0 before any label."""
    found = rule("adaptive/fixed_share", {"rates": [0.25, 0.5], "share": 0.1, "temperature": 2.0, **changes})
    assert isinstance(found, FixedShare)
    with torch.no_grad():
        found.model.head.weight.zero_()
    return found


def label(y: float, known: float = 1.0) -> Batch:
    """Return one row whose only feature is the bias."""
    x = torch.tensor([[0.0, 0, 0, 0, 1, 0]], dtype=torch.float64)
    one = torch.ones(1, dtype=torch.float64)
    return Batch(x, torch.tensor([y], dtype=torch.float64), one, known * one, torch.tensor(0))


def weights(state: dict[str, Any]) -> list[float]:
    found: list[float] = state["log_weight"].exp().tolist()
    return found


def test_weights_by_hand_for_two_rates() -> None:
    found = made()
    state = found.init({})
    assert weights(state) == [0.5, 0.5]
    out, state = found.step(state, label(1.0))
    assert out.item() == 0
    assert weights(state) == pytest.approx([0.5, 0.5])  # both had predicted 0
    # gradient 2 (0 - 1) = -2: the biases are now .5 and 1, the mixture .75
    out, state = found.step(state, label(1.0))
    assert out.item() == pytest.approx(0.75)
    # losses .25 and 0 at temperature 2, then a tenth of the weight is spread evenly
    first = math.exp(-0.125) / (1 + math.exp(-0.125))
    assert weights(state) == pytest.approx([0.9 * first + 0.05, 0.9 * (1 - first) + 0.05])
    # bias .5 + .25 * 2 * .5 = .75, and 1 stays; the mixture by the weights
    w = weights(state)
    assert found.predict(state, label(0).x).item() == pytest.approx(0.75 * w[0] + w[1])


def test_a_hidden_label_leaves_weights_and_states() -> None:
    found = made()
    _, state = found.step(found.init({}), label(1.0))
    _, state = found.step(state, label(1.0))
    after = found.update(state, label(torch.nan, known=0.0))
    assert weights(after) == weights(state)
    assert torch.equal(after["rules"]["theta"]["head"], state["rules"]["theta"]["head"])


def test_without_share_the_weights_are_the_posterior() -> None:
    found = made(share=0.0, temperature=1.0)
    state, losses = found.init({}), torch.zeros(2, dtype=torch.float64)
    for y in (1.0, -0.5, 2.0, 0.3):
        each = found.each(state, label(y).x)[:, 0, 0]
        losses += (each - y).square()
        state = found.update(state, label(y))
    assert weights(state) == pytest.approx((-losses).softmax(0).tolist())


def test_share_lets_a_policy_come_back() -> None:
    """A slow rate is right for long, then a fast one: without share it takes much longer to change sides."""
    last = []
    for share in (0.0, 0.05):
        found = made(rates=[0.001, 0.5], share=share, temperature=0.5)
        state = found.init({})
        for y in [0.5 * (-1) ** i for i in range(200)] + [2.0] * 8:
            state = found.update(state, label(y))
        last.append(weights(state)[1])
    assert last[0] < 0.01
    assert last[1] > 0.9


def test_each_policy_is_the_wrapped_rule_at_its_rate() -> None:
    found = made()
    state = found.init({})
    alone = [found.rule.init({"rate": rate}) for rate in found.rates]
    for y in (1.0, -1.0, 0.4):
        state = found.update(state, label(y))
        alone = [found.rule.update(one, label(y)) for one in alone]
    each = found.each(state, label(0).x)
    for out, one in zip(each, alone, strict=True):
        torch.testing.assert_close(out, found.rule.predict(one, label(0).x))


def test_commit_is_the_policy_of_the_largest_weight() -> None:
    found = made()
    state = found.update(found.update(found.init({}), label(1.0)), label(1.0))
    committed = found.commit(state)["head.weight"]
    assert weights(state)[1] > weights(state)[0]
    assert torch.equal(committed, state["rules"]["theta"]["head"][1])


@pytest.mark.parametrize("share", [0.0, 0.1])
def test_a_policy_that_diverges_is_outvoted_and_in_the_end_out(share: float) -> None:
    """With share the evenly spread part keeps a voice until its loss is no number any more."""
    found = made(rates=[0.25, 30.0], share=share)
    state = found.init({})
    for _ in range(300):
        out, state = found.step(state, label(1.0))
    assert out.item() == pytest.approx(1.0, abs=1e-6)
    assert weights(state) == [1, 0]
