"""How good lists of recommended items are, one value per user.

A list is the first k items of the whole catalogue without those that the user has seen; relevant are the user's
held-out items. Shapes: T users, M items, k the length of a list.

    >>> hits, relevant = torch.tensor([[1, 0, 1]]), torch.tensor([4])
    >>> {name: round(float(value), 3) for name, value in list_metrics(hits, relevant, 3).items()}
    {'precision@3': 0.667, 'recall@3': 0.5, 'ndcg@3': 0.704, 'map@3': 0.556, 'mrr@3': 1.0, 'hit@3': 1.0}
"""

from __future__ import annotations

import torch
from torch import Tensor

from metarun.hashing import combine

TIES = 20
"""Seed of the order of tied items."""


def top(scores: Tensor, seen: Tensor, k: int) -> Tensor:
    """Return the k best items of each user (T, k), best first; k at most M.

    scores: (T, M), changed in place; nan ranks last. seen: (pairs, 2), user and item that is no candidate; where fewer
    than k items are candidates, the others follow them. Ties follow one fixed random order of the items: neither their
    numbers nor the algorithm leak into a list, and a constant score is a random list.
    """
    scores = scores.contiguous()  # a score expanded over users cannot be masked per user
    items = scores.shape[1]
    scores.view(-1).index_fill_(0, seen[:, 0] * items + seen[:, 1], -torch.inf)
    order = priority(items).to(scores.device)
    values, found = scores.topk(min(k + 1, items), 1)
    if bool(values.isnan().any()):
        values, found = scores.nan_to_num_(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf).topk(values.shape[1], 1)
    if k < items:
        last = values[:, k - 1 : k]
        tied = (last == values[:, k:])[:, 0].nonzero()[:, 0]
        values, found = values[:, :k], found[:, :k]
        if len(tied):
            found[tied] = settled(scores[tied], last[tied], values[tied], found[tied], order)
    place = order[found].argsort(1, descending=True)
    values, found = values.gather(1, place), found.gather(1, place)
    return found.gather(1, values.sort(dim=1, descending=True, stable=True).indices)


def settled(scores: Tensor, last: Tensor, values: Tensor, found: Tensor, order: Tensor) -> Tensor:
    """Return the lists (T, k) with the right ones of the items that tie with the last; scores (T, M), last (T, 1)."""
    among = torch.where(scores == last, order, -1.0).topk(found.shape[1], 1).indices
    above = (values > last).sum(1, keepdim=True)
    rank = torch.arange(found.shape[1], device=scores.device)
    # Values are sorted: those above the last come first, then the first of the tied in the fixed order.
    return torch.where(rank < above, found, among.gather(1, (rank - above).clamp(min=0)))


def priority(items: int) -> Tensor:
    """Return the place of each item in the fixed order of ties (M,), float32, exact below 2^24 items; last wins."""
    chance = combine(TIES, torch.arange(items))
    return chance.argsort(stable=True).argsort().float()


def list_metrics(hits: Tensor, relevant: Tensor, k: int) -> dict[str, Tensor]:
    """Return precision, recall, ndcg, map, mrr and hit at k, each (T,), nan for a user with nothing relevant.

    hits: (T, >= k), 1 where the item at a rank is relevant; relevant: (T,), how many items are. ndcg and map are taken
    relative to what a perfect list of k reaches, so they divide by min(k, relevant) items.
    """
    hits = hits[:, :k].float()
    rank = torch.arange(1, hits.shape[1] + 1, device=hits.device)
    total = torch.where(relevant > 0, relevant.float(), torch.nan)
    possible = relevant.clamp(1, hits.shape[1])
    so_far = hits.cumsum(1)
    discount = 1 / torch.log2(rank + 1.0)
    any_hit = so_far[:, -1].clamp(max=1)
    found = {
        "precision": so_far[:, -1] / k,
        "recall": so_far[:, -1] / total,
        "ndcg": (hits * discount).sum(1) / discount.cumsum(0)[possible - 1],
        "map": (hits * so_far / rank).sum(1) / possible,
        "mrr": any_hit / (hits.argmax(1) + 1),
        "hit": any_hit,
    }
    return {f"{name}@{k}": torch.where(relevant > 0, value, torch.nan) for name, value in found.items()}


def exposure(lists: Tensor, known: Tensor) -> Tensor:
    """Return the mean popularity of each user's list (T,); known: (M,), share of training users who have an item."""
    return known[lists].mean(1)


def coverage(lists: Tensor, items: int) -> Tensor:
    """Return the share () of the catalogue of M items that the lists (T, k) recommend to anybody."""
    found = torch.zeros(items, device=lists.device)
    found[lists.flatten()] = 1
    return found.mean()
