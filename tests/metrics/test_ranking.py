import itertools
import math

import pytest
import torch

from metarun.metrics.ranking import judged, ndcg, precision_recall

ONES = torch.ones(1, 4)


def test_ndcg_by_hand():
    # Ranked by score the ratings are 2, 5, 1; at k = 2: (2/1 + 5/log2 3) / (5/1 + 2/log2 3).
    out, y = torch.tensor([[0.1, 0.9, 0.5]]), torch.tensor([[1.0, 2.0, 5.0]])
    expected = (2 + 5 / math.log2(3)) / (5 + 2 / math.log2(3))
    assert ndcg(out, y, torch.ones(1, 3), 2).item() == pytest.approx(expected)
    assert ndcg(y, y, torch.ones(1, 3), 2).item() == pytest.approx(1.0)


def test_precision_and_recall_by_hand():
    # First two by score: one relevant of two; three relevant in all.
    score, relevant = torch.tensor([[4.0, 3.0, 2.0, 1.0]]), torch.tensor([[1, 0, 1, 1]])
    precision, recall = precision_recall(score, relevant, ONES, 2)
    assert (precision.item(), recall.item()) == (pytest.approx(1 / 2), pytest.approx(1 / 3))


def test_fewer_candidates_than_k():
    # Four candidates, k = 20: everything is shown, so P is the share of relevant ones and R is 1.
    precision, recall = precision_recall(torch.rand(1, 4), torch.tensor([[1, 0, 1, 1]]), ONES, 20)
    assert (precision.item(), recall.item()) == (pytest.approx(3 / 4), pytest.approx(1.0))


def test_ties_are_the_mean_over_all_orders():
    score, y = torch.tensor([[2.0, 1.0, 1.0, 1.0, 0.0]]), torch.tensor([[3.0, 5.0, 1.0, 4.0, 2.0]])
    ones = torch.ones(1, 5)
    orders = [torch.tensor([[2.0, *(1 + 0.1 * torch.tensor(p)), 0.0]]) for p in itertools.permutations(range(3))]
    for k in (1, 2, 3, 5):
        mean = torch.stack([ndcg(s, y, ones, k) for s in orders]).mean()
        assert ndcg(score, y, ones, k).item() == pytest.approx(mean.item(), rel=1e-5)
        both = torch.stack([torch.stack(precision_recall(s, y >= 4, ones, k)) for s in orders]).mean(0)
        assert torch.allclose(torch.stack(precision_recall(score, y >= 4, ones, k)), both)


def test_a_constant_score_does_not_leak_the_order_of_the_labels():
    y = torch.tensor([[5.0, 4.0, 2.0, 1.0]])
    constant = torch.zeros(1, 4)
    assert ndcg(constant, y, ONES, 2).item() == pytest.approx(ndcg(constant, y.flip(1), ONES, 2).item())
    precision, recall = precision_recall(constant, y >= 4, ONES, 1)
    assert (precision.item(), recall.item()) == (pytest.approx(1 / 2), pytest.approx(1 / 4))


def test_padding_and_permutation_change_nothing():
    torch.manual_seed(0)
    out, y = torch.randint(0, 4, (6, 9)).float(), torch.randint(1, 6, (6, 9)).float()
    mask = torch.ones(6, 9)
    wide = torch.cat([torch.full((6, 3), torch.nan), out], 1), torch.cat([torch.full((6, 3), torch.nan), y], 1)
    wide_mask = torch.cat([torch.zeros(6, 3), mask], 1)
    order = torch.randperm(12)
    moved = wide[0][:, order], wide[1][:, order], wide_mask[:, order]
    assert torch.allclose(ndcg(out, y, mask, 4), ndcg(*moved, 4))
    for a, b in zip(
        precision_recall(out, y >= 4, mask, 4), precision_recall(moved[0], moved[1] >= 4, moved[2], 4), strict=True
    ):
        assert torch.allclose(a, b, equal_nan=True)


def test_lowest_scores_stay_above_padding():
    out, y = torch.tensor([[-torch.inf, 0.0]]), torch.tensor([[5.0, 1.0]])
    assert precision_recall(out, y >= 4, torch.tensor([[1, 0]]), 1)[0].item() == 1.0


def test_vmap():
    torch.manual_seed(0)
    out, y, mask = torch.rand(5, 8), torch.randint(1, 6, (5, 8)).float(), torch.rand(5, 8) < 0.8
    assert torch.allclose(torch.vmap(lambda o, t, m: ndcg(o, t, m, 3))(out, y, mask), ndcg(out, y, mask, 3))
    one = torch.vmap(lambda o, t, m: precision_recall(o, t >= 4, m, 3))(out, y, mask)
    batched = precision_recall(out, y >= 4, mask, 3)
    assert all(torch.allclose(a, b, equal_nan=True) for a, b in zip(one, batched, strict=True))


def test_tasks_without_meaning_are_nan_and_not_judged():
    relevant, mask = torch.tensor([[0, 0], [1, 0], [1, 1]]), torch.tensor([[1, 1], [1, 1], [0, 0]])
    precision, recall = precision_recall(torch.rand(3, 2), relevant, mask, 1)
    assert precision.isnan().tolist() == recall.isnan().tolist() == [True, False, True]
    assert judged(relevant, mask, 1).tolist() == [False, True, False]
    assert judged(relevant, mask, 3).tolist() == [False, False, False]


def test_a_nan_score_is_not_a_rank():
    score = torch.tensor([[1.0, torch.nan, 0.0, 2.0]])
    assert ndcg(score, torch.ones(1, 4), ONES).isnan().all()
    assert torch.stack(precision_recall(score, ONES, ONES)).isnan().all()


def test_shapes_do_not_broadcast():
    with pytest.raises(ValueError, match=r"score \(1, 4\), labels \(1, 4\) and mask \(4,\)"):
        precision_recall(ONES, ONES, torch.ones(4))
