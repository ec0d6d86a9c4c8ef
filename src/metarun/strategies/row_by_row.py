"""Linear rules over a stretch of a stream, chunk after chunk, in numpy: the same numbers without torch's cost per call.

Shapes: B rows of D features, C outputs, P policies side by side; a policy's weight is (D, C), all of them (D, P * C).
The loss is cross-entropy where labels are classes (`classes`), else squared error of one output.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from metarun.errors import needs_package
from metarun.rule import Batch

Array = NDArray[Any]
TINY = 1e-38


class Chunk(NamedTuple):
    """Rows to be predicted, and rows to be learned from."""

    rows: slice
    ask: Array
    x: Array
    y: Array


def kernels(name: str) -> Any:
    """Return the module with `gradient` and `mixed`: this one for "numpy", compiled loops for "numba".

    Raises:
        MetarunError: the package numba is not there.
    """
    if name == "numpy":
        return sys.modules[__name__]
    try:
        return importlib.import_module("metarun.strategies.compiled")
    except ImportError:
        raise needs_package("evaluate.kernel", name, "numba", "fast") from None


def arrays(ask: Tensor, batch: Batch) -> tuple[Array, Array, Array, Array]:
    """Return (ask, x, y, known) as arrays, `ask` the same as `x` where rows are learned from at once."""
    x = batch.x.numpy()
    y = batch.y.numpy() if batch.y.is_floating_point() else batch.y.long().numpy()
    return x if ask is batch.x else ask.numpy(), x, y, batch.known.numpy()


def chunks(ask: Array, x: Array, y: Array, known: Array, chunk: int) -> Iterator[Chunk]:
    """Yield `chunk` rows at a time; of those to be learned from only the ones whose label is known."""
    every = bool(known.all())
    for first in range(0, len(ask), chunk):
        rows = slice(first, first + chunk)
        if every:
            yield Chunk(rows, ask[rows], x[rows], y[rows])
        else:
            shown = known[rows] > 0
            yield Chunk(rows, ask[rows], x[rows][shown], y[rows][shown])


def residual(z: Array, y: Array, classes: bool) -> Array:
    """Return d loss / d z (B, P, C) of scores (B, P, C) and labels (B,)."""
    if not classes:
        return 2 * (z - y[:, None, None])
    found = likelihood(z)
    found[np.arange(len(y)), :, y] -= 1
    return found


def likelihood(z: Array) -> Array:
    """Return softmax(z) over the last axis."""
    found = np.exp(z - z.max(-1, keepdims=True))
    found /= found.sum(-1, keepdims=True)
    return found  # type: ignore[no-any-return]


def descend(weight: Array, x: Array, slope: Array, rate: Array) -> None:
    """Take one step of each policy in place: weight (D, P * C), x (B, D), slope (B, P, C), rate (D or 1, P * C)."""
    flat = slope.reshape(len(slope), -1)
    # An outer product of one row is several times cheaper than a matrix product.
    step = x[0][:, None] * flat[0] if len(x) == 1 else x.T @ flat / len(x)
    step *= rate
    weight -= step


# Of numbers that run away where a rate is too high the state tells.
@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def gradient(
    weight: Array, ask: Array, x: Array, y: Array, known: Array, rate: Array, chunk: int, classes: bool
) -> tuple[Array, Array]:
    """Return (scores (B, C), weight (D, C) afterwards) of gradient descent; rate: of every weight, or one for all."""
    weight, out = weight.copy(), np.empty((len(ask), weight.shape[1]), weight.dtype)
    step, same = np.broadcast_to(rate, weight.shape), ask is x
    for part in chunks(ask, x, y, known, chunk):
        z = part.ask @ weight
        out[part.rows] = z
        if len(part.x):
            again = z if same and len(part.x) == len(z) else part.x @ weight
            descend(weight, part.x, residual(again[:, None], part.y, classes), step)
    return out, weight


class Trust(NamedTuple):
    """What a controller holds of P policies: logarithms of weights (P,), and sums over rows (P + 1,).

    The last of each sum is that of the uniform mixture.
    """

    log_weight: Array
    loss: Array
    hits: Array


@np.errstate(over="ignore", invalid="ignore", divide="ignore")
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
    """Return (outputs (B, C), weight (D, P * C), trust) of policies mixed by fixed share.

    rate: (D or 1, P * C), 0 where a policy does not see a feature. Outputs are the mixture's prediction, of classes the
    logarithm of its probabilities. A policy whose loss is no number any more is out for good.
    """
    weight, log_weight = weight.copy(), trust.log_weight.astype(np.float64)
    loss, hits = trust.loss.astype(np.float64), trust.hits.astype(np.float64)
    policies = len(log_weight)
    out = np.empty((len(ask), weight.shape[1] // policies), weight.dtype)
    same, believed = ask is x, np.exp(log_weight)
    for part in chunks(ask, x, y, known, chunk):
        z = (part.ask @ weight).reshape(len(part.ask), policies, -1)
        each = likelihood(z) if classes else z
        out[part.rows] = joined(believed, each, classes)
        if not len(part.x):
            continue
        if not (same and len(part.x) == len(z)):
            z = (part.x @ weight).reshape(len(part.x), policies, -1)
            each = likelihood(z) if classes else z
        cost, right = losses(each, part.y, classes)
        loss += cost
        hits += right
        alive = np.isfinite(cost[:-1]) & np.isfinite(log_weight)
        log_weight = np.where(alive, log_weight - cost[:-1] / temperature, -np.inf)
        log_weight -= log_weight.max()
        log_weight -= np.log(np.exp(log_weight).sum())
        if share:
            log_weight = np.logaddexp(log_weight + np.log1p(-share), np.log(share * alive / alive.sum()))
        believed = np.exp(log_weight)
        descend(weight, part.x, slope(each, part.y, classes), rate)
    return out, weight, Trust(log_weight, loss, hits)


def joined(believed: Array, each: Array, classes: bool) -> Array:
    """Return the mixture (B, C) of what policies predict, (B, P, C); what has no weight may have diverged."""
    if not believed.all():
        each = np.where(believed[:, None] > 0, each, 0.0)
    found = np.einsum("p,bpc->bc", believed, each) if len(each) > 1 else (believed @ each[0])[None]
    return np.log(np.maximum(found, TINY)) if classes else found  # type: ignore[no-any-return]


def losses(each: Array, y: Array, classes: bool) -> tuple[Array, Array]:
    """Return sums over rows of (losses, hits) (P + 1,), of the policies and of their uniform mixture."""
    uniform = each.mean(1, keepdims=True)
    every = np.concatenate([each, uniform], 1)
    if not classes:
        cost = ((every[..., 0] - y[:, None]) ** 2).sum(0)
        return cost, np.zeros(len(cost))
    cost = -np.log(np.maximum(every[np.arange(len(y)), :, y], TINY)).sum(0)
    return cost, (every.argmax(-1) == y[:, None]).sum(0).astype(np.float64)


def slope(each: Array, y: Array, classes: bool) -> Array:
    """Return d loss / d scores (B, P, C) from what policies predict."""
    if not classes:
        return 2 * (each - y[:, None, None])
    found = each.copy()
    found[np.arange(len(y)), :, y] -= 1
    return found
