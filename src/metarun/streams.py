"""The prequential protocol: predict a chunk, score it, then update.

A stream may have many keys (users) with a state each; they run side by side and never see each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from metarun.errors import MetarunError
from metarun.rule import Batch, Rule, State, chunks
from metarun.tasks import flat, over_tasks


class Stream(NamedTuple):
    """K keys in time order; every leaf has the leading axis K, the batch also the axis of time L."""

    context: dict[str, Tensor]
    batch: Batch  # (K, L, ...); mask 0 behind a key's last row


def encode(rule: Rule, stream: Stream) -> Stream:
    """Return the stream as the rule wants to see it.

    Raises:
        MetarunError: the rule moves table rows, which a stream of single rows does not know in advance.
    """
    if rule.moves != "head":
        raise MetarunError(
            f"moves={rule.moves} adapts the rows of a whole task, which a stream does not know: use moves=head."
        )
    if rule.sees == "features":
        return stream._replace(batch=stream.batch._replace(x=flat(rule.model.features, stream.batch.x)))
    return stream


def time_chunks(batch: Batch, rows: int) -> Iterator[Batch]:
    """Yield (K, rows) pieces of a (K, L) batch in time order."""
    for part in chunks(turned(batch), rows):
        yield turned(part)


def turned(batch: Batch) -> Batch:
    """Return a batch (K, L) as (L, K), or back; the event has no rows."""
    x, y, mask, known = tree_map(lambda leaf: leaf.transpose(0, 1), (batch.x, batch.y, batch.mask, batch.known))
    return Batch(x, y, mask, known, batch.event)


def beginning(stream: Stream, rows: int) -> Stream:
    """Return the first `rows` rows of every key."""
    x, y, mask, known = (tree_map(lambda leaf: leaf[:, :rows], part) for part in stream.batch[:4])
    return stream._replace(batch=Batch(x, y, mask, known, stream.batch.event))


def start(rule: Rule, stream: Stream, vmapped: bool = True) -> State:
    """Return the states of all keys before any row."""
    return over_tasks(rule.init, vmapped)(stream.context)


def step(rule: Rule, state: State, batch: Batch, vmapped: bool = True) -> tuple[Tensor, State]:
    """Return (predictions (K, B, C) made before the update, states after it)."""
    result: tuple[Tensor, State] = over_tasks(rule.step, vmapped)(state, batch)
    return result


def prequential(rule: Rule, stream: Stream, chunk: int = 1, vmapped: bool = True) -> tuple[Tensor, Any]:
    """Return the predictions (K, L, C), each made before its label was seen, and the last states."""
    encoded = encode(rule, stream)
    state, outs = start(rule, encoded, vmapped), []
    with torch.no_grad():
        for batch in time_chunks(encoded.batch, chunk):
            out, state = step(rule, state, batch, vmapped)
            outs.append(out)
    return torch.cat(outs, 1), state
