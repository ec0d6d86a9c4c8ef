"""How well scores order a user's held-out rated items, one value per task; batched over leading axes, safe under vmap.

Ties: a metric is its expected value over all orders of the tied items. A constant score is thus exactly as good as a
random one, and neither the order of the rows nor that of the labels can leak into the result.

The rated-only protocol, P@20 / R@20 / F1@20. Candidates are the user's own held-out rated items and nothing else;
an item is relevant when its rating is at least a threshold (3 or 4).
    P = hits in the first k / min(k, candidates)        R = hits in the first k / relevant candidates
averaged over users with at least 10 held-out items and one relevant item (`judged`); F1 is the harmonic mean of the
mean P and the mean R (metrics/interval.py), not the mean of the users' own F1, which is .04 to .06 lower there.
Checked on ml-1m (per-user random 80/20, threshold 4, k = 20; P / R / F1): random .612/.664/.637, item mean
.711/.734/.722, oracle .821/.821/.821, over 4,371 users. Dividing P by k instead gives the oracle .757.
"""

from __future__ import annotations

import torch
from torch import Tensor


def ndcg(out: Tensor, y: Tensor, mask: Tensor, k: int = 10) -> Tensor:
    """Return nDCG@k of each task over its held-out rated items, (T, Q) x 3 -> (T,).

    Gain is the rating itself (linear, y >= 0), discount 1 / log2(1 + rank), divided by the best order's.
    A task without an item, or with no rating above 0, has none: nan; so has a task with a nan score.
    """
    gain = torch.where(mask.bool(), y, torch.zeros_like(y)).to(out.dtype)
    ranks = torch.arange(min(k, out.shape[-1]), device=out.device, dtype=out.dtype)
    discount = 1 / torch.log2(ranks + 2)
    found = (_ranked(out, gain, mask)[..., : len(ranks)] * discount).sum(-1)
    best = (_ranked(gain, gain, mask)[..., : len(ranks)] * discount).sum(-1)
    return found / best


def precision_recall(score: Tensor, relevant: Tensor, mask: Tensor, k: int = 20) -> tuple[Tensor, Tensor]:
    """Return P@k and R@k of each task under the rated-only protocol, (T, Q) x 3 -> (T,), (T,).

    nan where they have no meaning (no candidate, nothing relevant): average over `judged` tasks only.
    """
    gain = torch.where(mask.bool(), relevant.to(score.dtype), torch.zeros_like(score))
    hits = _ranked(score, gain, mask)[..., :k].sum(-1)
    candidates = mask.to(score.dtype).sum(-1)
    total = gain.sum(-1)
    nan = torch.full_like(hits, torch.nan)
    # 0 / 0 would say nan for the recall alone; both are without meaning where nothing is relevant.
    precision = torch.where(total > 0, hits / candidates.clamp(max=k), nan)
    return precision, hits / total


def judged(relevant: Tensor, mask: Tensor, at_least: int = 10) -> Tensor:
    """Return which tasks the rated-only protocol counts, (T, Q) x 2 -> (T,) bool: enough candidates, one relevant."""
    kept = mask.bool()
    return (kept.sum(-1) >= at_least) & (kept & relevant.bool()).any(-1)


def _ranked(score: Tensor, gain: Tensor, mask: Tensor) -> Tensor:
    """Return the expected gain at each rank, best score first, (T, Q): tied items share the mean of their gains."""
    if not score.shape == gain.shape == mask.shape:
        shapes = f"score {tuple(score.shape)}, labels {tuple(gain.shape)} and mask {tuple(mask.shape)}"
        raise ValueError(f"{shapes} must be alike")
    kept = mask.bool()
    # Rows that do not exist come last and tie only with each other: real scores stay above -inf.
    lowest = torch.finfo(score.dtype).min
    ordered, order = torch.where(kept, score.clamp(min=lowest), -torch.inf).sort(-1, descending=True)
    opens = torch.cat([torch.zeros_like(kept[..., :1]), ordered[..., 1:] != ordered[..., :-1]], -1)
    group = opens.long().cumsum(-1)
    gain = gain.gather(-1, order)
    total = torch.zeros_like(gain).scatter_add(-1, group, gain)
    size = torch.zeros_like(gain).scatter_add(-1, group, torch.ones_like(gain))
    shared = (total / size.clamp(min=1)).gather(-1, group)
    broken = (kept & score.isnan()).any(-1, keepdim=True)
    return torch.where(broken, torch.nan, shared)
