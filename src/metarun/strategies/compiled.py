"""The kernels of `row_by_row` compiled by numba, for streams of many rows: the same functions as loops over numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from metarun.strategies.row_by_row import TINY, Array, Trust

MOST = 1e19
"""The square of more is no number in float32, of which weights are."""


@njit(cache=True)  # type: ignore[misc, untyped-decorator, unused-ignore]
def softmax(z: Any) -> None:
    """Turn scores (C,) into probabilities in place."""
    top = z[0]
    for c in range(1, len(z)):
        top = max(top, z[c])
    total = 0.0
    for c in range(len(z)):
        z[c] = np.exp(z[c] - top) if z[c] != top else 1.0
        total += z[c]
    for c in range(len(z)):
        z[c] /= total


@njit(cache=True)  # type: ignore[misc, untyped-decorator, unused-ignore]
def scores(weight: Any, x: Any, z: Any) -> None:
    """Write x (D,) times weight (D, P * C) into z (P * C,)."""
    z[:] = 0.0
    for d in range(len(x)):
        for c in range(len(z)):
            z[c] += x[d] * weight[d, c]


@njit(cache=True)  # type: ignore[misc, untyped-decorator, unused-ignore]
def descend(weight: Any, x: Any, known: Any, slopes: Any, rate: Any, rows: int) -> None:
    """Take one step in place by the slopes (B, P * C) of the rows (B, D) whose label is known."""
    for row in range(len(x)):
        if known[row] > 0:
            for d in range(len(weight)):
                for c in range(weight.shape[1]):
                    weight[d, c] -= rate[d, c] * x[row, d] * slopes[row, c] / rows


@njit(cache=True)  # type: ignore[misc, untyped-decorator, unused-ignore]
def slope(z: Any, label: Any, classes: bool) -> None:
    """Turn scores, or of classes probabilities, (C,) into d loss / d scores in place."""
    if classes:
        z[int(label)] -= 1.0
    else:
        z[0] = 2.0 * (z[0] - label)


@njit(cache=True)  # type: ignore[misc, untyped-decorator, unused-ignore]
def _gradient(
    weight: Any, same: bool, ask: Any, x: Any, y: Any, known: Any, rate: Any, chunk: int, classes: bool, out: Any
) -> None:  # fmt: skip
    kept = np.empty((chunk, weight.shape[1]))
    for first in range(0, len(ask), chunk):
        last, rows = min(first + chunk, len(ask)), 0
        for row in range(first, last):
            z = kept[row - first]
            scores(weight, ask[row], z)
            out[row] = z
            if known[row] > 0:
                rows += 1
                if not same:
                    scores(weight, x[row], z)
                if classes:
                    softmax(z)
                slope(z, y[row], classes)
        if rows:
            descend(weight, x[first:last], known[first:last], kept, rate, rows)


@njit(cache=True)  # type: ignore[misc, untyped-decorator, unused-ignore]
def believed(log_weight: Any, cost: Any, share: float, temperature: float) -> None:
    """Turn logarithms of weights (P,) into those after losses (P,) in place, `share` of them spread evenly."""
    alive, top = 0, -np.inf
    for p in range(len(log_weight)):
        if np.isfinite(cost[p]) and np.isfinite(log_weight[p]):
            log_weight[p] -= cost[p] / temperature
            alive += 1
            top = max(top, log_weight[p])
        else:
            log_weight[p] = -np.inf
    total = 0.0
    for p in range(len(log_weight)):
        total += np.exp(log_weight[p] - top)
    for p in range(len(log_weight)):
        if log_weight[p] > -np.inf or (share > 0 and np.isfinite(cost[p])):
            now = log_weight[p] - top - np.log(total)
            if share > 0:
                now = np.log((1 - share) * np.exp(now) + share / alive)
            log_weight[p] = now


@njit(cache=True)  # type: ignore[misc, untyped-decorator, unused-ignore]
def judged(each: Any, label: Any, classes: bool, cost: Any, hits: Any) -> None:
    """Add what a row of predictions (P, C) costs each policy and their uniform mixture, and who was right, (P + 1,)."""
    policies, outputs = each.shape
    mean = np.zeros(outputs)
    for p in range(policies + 1):
        found = mean
        if p < policies:
            found = each[p]
            mean += each[p] / policies
        if classes:
            cost[p] += -np.log(max(found[int(label)], TINY))
            if np.argmax(found) == int(label):
                hits[p] += 1
        else:
            error = abs(found[0] - label)
            cost[p] += error**2 if error < MOST else np.inf


@njit(cache=True)  # type: ignore[misc, untyped-decorator, unused-ignore]
def _mixed(
    weight: Any, log_weight: Any, loss: Any, hits: Any, same: bool, ask: Any, x: Any, y: Any, known: Any, rate: Any,
    share: float, temperature: float, chunk: int, classes: bool, out: Any,
) -> None:  # fmt: skip
    policies, outputs = len(log_weight), out.shape[1]
    kept, cost = np.empty((chunk, weight.shape[1])), np.empty(policies + 1)
    trust, likely, mean = np.exp(log_weight), np.ones(policies + 1), np.empty(outputs)
    # Where trust cannot run out of digits products take the place of logarithms, which are most of the time.
    direct = classes and chunk == 1 and share > 0 and temperature == 1
    for first in range(0, len(ask), chunk):
        last, rows = min(first + chunk, len(ask)), 0
        cost[:] = 0.0
        for row in range(first, last):
            each = kept[row - first].reshape(policies, outputs)
            predicted(weight, ask[row], each, classes)
            joined(trust, each, classes, out[row])
            if known[row] > 0:
                rows += 1
                if not same:
                    predicted(weight, x[row], each, classes)
                if direct:
                    multiplied(each, int(y[row]), mean, likely, loss, hits)
                    shared(trust, each, int(y[row]), share)
                else:
                    judged(each, y[row], classes, cost, hits)
                for p in range(policies):
                    slope(each[p], y[row], classes)
        if rows:
            if not direct:
                loss += cost
                believed(log_weight, cost, share, temperature)
                trust = np.exp(log_weight)
            descend(weight, x[first:last], known[first:last], kept, rate, rows)

    if direct:
        log_weight[:] = np.log(trust)
        loss -= np.log(likely)


@njit(cache=True)  # type: ignore[misc, untyped-decorator, unused-ignore]
def multiplied(each: Any, label: int, mean: Any, likely: Any, loss: Any, hits: Any) -> None:
    """Do what `judged` does of classes, with a running product of likelihoods (P + 1,) that is not yet in the loss."""
    policies, outputs = each.shape
    mean[:] = 0.0
    for p in range(policies + 1):
        found = mean
        if p < policies:
            found = each[p]
            for c in range(outputs):
                mean[c] += each[p, c] / policies
        own, first = found[label], True
        for c in range(outputs):
            if found[c] > own or (found[c] == own and c < label):
                first = False
        hits[p] += first
        likely[p] *= max(own, TINY)
        if likely[p] < 1e-200:
            loss[p] -= np.log(likely[p])
            likely[p] = 1.0


@njit(cache=True)  # type: ignore[misc, untyped-decorator, unused-ignore]
def shared(trust: Any, each: Any, label: int, share: float) -> None:
    """Do what `believed` does, on weights (P,) themselves: a policy whose loss is no number is out for good."""
    alive, total = 0, 0.0
    for p in range(len(trust)):
        trust[p] = trust[p] * max(each[p, label], TINY) if each[p, label] == each[p, label] else 0.0
        alive += trust[p] > 0
        total += trust[p]
    for p in range(len(trust)):
        if trust[p] > 0:
            trust[p] = (1 - share) * trust[p] / total + share / alive


@njit(cache=True)  # type: ignore[misc, untyped-decorator, unused-ignore]
def predicted(weight: Any, x: Any, each: Any, classes: bool) -> None:
    """Write what policies predict of x (D,) into each (P, C): of classes probabilities."""
    scores(weight, x, each.reshape(-1))
    if classes:
        for p in range(len(each)):
            softmax(each[p])


@njit(cache=True)  # type: ignore[misc, untyped-decorator, unused-ignore]
def joined(trust: Any, each: Any, classes: bool, out: Any) -> None:
    """Write the mixture (C,) of what policies predict, (P, C); of classes the logarithm of its probabilities."""
    for c in range(len(out)):
        total = 0.0
        for p in range(len(trust)):
            if trust[p] > 0:
                total += trust[p] * each[p, c]
        out[c] = np.log(max(total, TINY)) if classes else total


def gradient(
    weight: Array, ask: Array, x: Array, y: Array, known: Array, rate: Array, chunk: int, classes: bool
) -> tuple[Array, Array]:
    """Return what `row_by_row.gradient` returns."""
    weight, out = weight.copy(), np.empty((len(ask), weight.shape[1]), weight.dtype)
    rate = np.ascontiguousarray(np.broadcast_to(rate, weight.shape))
    _gradient(weight, ask is x, ask, x, y, known, rate, chunk, classes, out)
    return out, weight


def mixed(
    weight: Array,
    trust: Trust,
    ask: Array,
    x: Array,
    y: Array,
    known: Array,
    rate: Array,
    share: float,
    temperature: float,
    chunk: int,
    classes: bool,
) -> tuple[Array, Array, Trust]:
    """Return what `row_by_row.mixed` returns."""
    weight, rate = np.ascontiguousarray(weight.copy()), np.ascontiguousarray(np.broadcast_to(rate, weight.shape))
    log_weight, loss, hits = (np.array(leaf, dtype=np.float64) for leaf in trust)
    out = np.empty((len(ask), weight.shape[1] // len(log_weight)))
    _mixed(weight, log_weight, loss, hits, ask is x, ask, x, y, known, rate, share, temperature, chunk, classes, out)
    return out.astype(weight.dtype), weight, Trust(log_weight, loss, hits)
