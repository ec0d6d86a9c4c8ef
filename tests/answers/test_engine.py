"""Scores, in one and in many, and exactly what each rating did to them."""

from __future__ import annotations

import made
import pytest
import torch

ITEM, Y = torch.tensor([0, 2, 5]), torch.tensor([5.0, 1.0, 3.5])
RULES = sorted(made.STRATEGIES)


@pytest.mark.parametrize("ranks", [False, True])
@pytest.mark.parametrize("strategy", RULES)
def test_what_a_rating_did_is_the_score_less_the_score_without_it(strategy: str, ranks: bool) -> None:
    if ranks and strategy in ("bias", "all"):
        pytest.skip("a rule of ratings")
    engine = made.answers(strategy, ranks=ranks).engine
    y = torch.ones(3) if ranks else Y
    targets = torch.tensor([1, 4])
    changes = engine.changes(ITEM, y, targets)
    whole = engine.adapt(ITEM, y)[1][targets]
    for row in range(3):
        rest = [place for place in range(3) if place != row]
        torch.testing.assert_close(changes[row], whole - engine.adapt(ITEM[rest], y[rest])[1][targets])


@pytest.mark.parametrize("strategy", RULES)
def test_many_people_get_what_each_would_alone(strategy: str) -> None:
    engine = made.answers(strategy).engine
    item, y = torch.tensor([[0, 2, 5], [4, 0, 0], [0, 0, 0]]), torch.tensor([[5.0, 1, 3.5], [2, 0, 0], [0, 0, 0]])
    known = torch.tensor([[1.0, 1, 1], [1, 0, 0], [0, 0, 0]])
    scores = engine.many(item, y, known)
    for person, rows in enumerate((3, 1, 0)):
        alone = engine.adapt(item[person, :rows], y[person, :rows])[1]
        torch.testing.assert_close(scores[person], alone)


def test_the_values_are_those_of_the_largest_judged_size_not_above() -> None:
    chosen = {1: {"penalty": 1.0}, 5: {"penalty": 5.0}, 20: {"penalty": 20.0}}
    engine = made.answers(chosen=chosen).engine
    assert [engine.values(rows).get("penalty") for rows in (0, 1, 4, 5, 19, 300)] == [1.0, 1.0, 1.0, 5.0, 5.0, 20.0]
    before = engine.rule.penalty
    weak, strong = engine.adapt(ITEM[:1], Y[:1])[1], engine.adapt(ITEM.repeat(7)[:20], Y.repeat(7)[:20])[1]
    assert engine.rule.penalty == before
    assert not torch.equal(weak, strong)


def test_reasons_of_thousands_of_ratings_take_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    from metarun.answers import engine as module

    item, y = torch.arange(6).repeat(50), torch.linspace(1, 5, 300)
    engine = made.answers("maml").engine
    whole = engine.changes(item, y, torch.tensor([3]))
    monkeypatch.setattr(module, "BUDGET", 3000)  # so that the rows are left out a few at a time
    torch.testing.assert_close(engine.changes(item, y, torch.tensor([3])), whole)


def test_items_that_a_row_is_ranked_against_stay_its_own() -> None:
    engine = made.answers("maml", ranks=True).engine
    assert engine.others(ITEM).shape == (3, 3)
    assert torch.equal(engine.others(ITEM)[1:], engine.others(ITEM[1:]))
    assert int(engine.others(torch.arange(6)).max()) < 6
