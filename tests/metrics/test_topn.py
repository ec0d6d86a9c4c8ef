"""Metrics of lists against values computed by hand, and lists against a plain sort."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from metarun.metrics.topn import coverage, exposure, list_metrics, priority, top

NOBODY = torch.zeros(0, 2, dtype=torch.int64)
HITS = torch.tensor([[1, 0, 1], [0, 0, 1], [0, 0, 0], [1, 1, 1], [0, 0, 0]])
RELEVANT = torch.tensor([4, 1, 2, 3, 0])


def second(k: int) -> float:
    return 1 / math.log2(k + 1)


BY_HAND = {
    "precision@3": [2 / 3, 1 / 3, 0, 1],
    "recall@3": [1 / 2, 1, 0, 1],
    "ndcg@3": [(1 + second(3)) / (1 + second(2) + second(3)), second(3), 0, 1],
    "map@3": [(1 + 2 / 3) / 3, 1 / 3, 0, 1],
    "mrr@3": [1, 1 / 3, 0, 1],
    "hit@3": [1, 1, 0, 1],
}


@pytest.mark.parametrize("name", BY_HAND)
def test_metric_by_hand(name: str) -> None:
    found = list_metrics(HITS, RELEVANT, 3)[name]
    assert found[:-1].tolist() == pytest.approx(BY_HAND[name])
    assert found[-1].isnan(), "nothing relevant has no value"


def test_longer_lists_are_cut_at_k() -> None:
    longer = torch.cat([HITS, torch.ones(5, 2)], 1)
    for name, value in list_metrics(longer, RELEVANT, 3).items():
        assert torch.equal(value[:-1], list_metrics(HITS, RELEVANT, 3)[name][:-1])


def by_sort(scores: Tensor, seen: Tensor, k: int) -> list[list[int]]:
    """The same by sorting tuples."""
    order, lists = priority(scores.shape[1]).tolist(), []
    for user, row in enumerate(scores.tolist()):
        gone = {item for owner, item in seen.tolist() if owner == user}
        keys = [(-math.inf if i in gone or math.isnan(s) else s, order[i], i) for i, s in enumerate(row)]
        lists.append([key[2] for key in sorted(keys, reverse=True)[:k]])
    return lists


@pytest.mark.parametrize("k", [1, 4, 11, 12])
@pytest.mark.parametrize("levels", [1, 2, 5, 10_000])
def test_lists_are_those_of_a_sort_whatever_ties(k: int, levels: int) -> None:
    generator = torch.Generator().manual_seed(levels)
    scores = torch.randint(levels, (40, 12), generator=generator).float()
    scores[0, 3] = torch.nan
    scores[1] = torch.nan
    seen = (torch.rand(40, 12, generator=generator) < 0.3).nonzero()
    expected = by_sort(scores, seen, k)
    assert top(scores.clone(), seen, k).tolist() == expected


def test_seen_items_are_no_candidates_also_where_users_share_a_score() -> None:
    shared = torch.tensor([3.0, 2.0, 1.0]).expand(2, -1)
    assert top(shared, torch.tensor([[0, 0], [1, 1]]), 2).tolist() == [[1, 2], [0, 2]]
    assert shared[0].tolist() == [3, 2, 1]


def test_a_constant_score_is_a_random_list() -> None:
    lists = top(torch.zeros(1, 1000), NOBODY, 100)[0]
    assert len(lists.unique()) == 100
    assert lists.float().mean() == pytest.approx(500, abs=90)
    assert torch.equal(top(torch.zeros(3, 1000), NOBODY, 100)[2], lists), "the same at any place of a batch"
    assert torch.equal(top(torch.ones(1, 1000), NOBODY, 7)[0], lists[:7])


def test_exposure_and_coverage_by_hand() -> None:
    lists, known = torch.tensor([[0, 1], [1, 2]]), torch.tensor([0.5, 0.25, 0.125, 0.0])
    assert exposure(lists, known).tolist() == [0.375, 0.1875]
    assert float(coverage(lists, 4)) == 0.75
