"""The prequential protocol: every prediction is made before its label was seen, key by key."""

from __future__ import annotations

import pytest
import torch
from torch.utils._pytree import tree_leaves, tree_map
from toys import adapting, negatives, rule, setting, tasks

from metarun.errors import MetarunError
from metarun.rule import Batch, Rule
from metarun.streams import Stream, encode, prequential, time_chunks, turned

METHODS = adapting()


def stream(keys: int = 3, length: int = 8, others: int = 0) -> Stream:
    """Return keys of different lengths; some labels never arrive."""
    task = tasks(keys, support=length, query=1, seed=4, others=others)
    return Stream(task.context, task.support)


def both(method: str) -> tuple[Rule, Stream]:
    """Return a method and the stream that it needs."""
    made = rule(method, None, *setting(method))
    return made, stream(others=negatives(made))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("chunk", [1, 3])
def test_predictions_are_those_of_a_plain_loop(method: str, chunk: int) -> None:
    made, given = both(method)
    outs, states = prequential(made, given, chunk)
    plain, _ = prequential(made, given, chunk, vmapped=False)
    torch.testing.assert_close(outs, plain, rtol=1e-10, atol=1e-12)
    seen, length = encode(made, given), given.batch.y.shape[1]
    with torch.no_grad():
        for key in range(len(given.batch.y)):
            one = tree_map(lambda leaf, k=key: leaf[k], seen)
            state = made.init(one.context)
            for first in range(0, length, chunk):
                rows = slice(first, first + chunk)
                x = tree_map(lambda leaf, r=rows: leaf[r], one.batch.x)
                part = Batch(x, one.batch.y[rows], one.batch.mask[rows], one.batch.known[rows], one.batch.event)
                torch.testing.assert_close(outs[key, rows], made.predict(state, x), rtol=1e-10, atol=1e-12)
                state = made.update(state, part)
            for a, b in zip(tree_leaves(tree_map(lambda s, k=key: s[k], states)), tree_leaves(state), strict=True):
                torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10)
    assert not outs.requires_grad


@pytest.mark.parametrize("method", METHODS)
def test_a_label_changes_no_prediction_up_to_its_own(method: str) -> None:
    made, given = both(method)
    before, _ = prequential(made, given)
    place = 3
    assert float(given.batch.known[-1, place]) == 1
    y = given.batch.y.clone()
    y[-1, place] += 5
    after, _ = prequential(made, given._replace(batch=given.batch._replace(y=y)))
    assert torch.equal(before[:-1], after[:-1])  # keys never see each other
    assert torch.equal(before[-1, : place + 1], after[-1, : place + 1])
    if method not in ("baseline/constant", "baseline/frozen", "baseline/popularity"):
        assert (before[-1, place + 1 :] - after[-1, place + 1 :]).abs().max() > 1e-6


@pytest.mark.parametrize("method", METHODS)
def test_hidden_labels_never_arrive(method: str) -> None:
    made, given = both(method)
    poisoned = torch.where(given.batch.known > 0, given.batch.y, torch.nan)
    before, after = (prequential(made, g)[0] for g in (given, given._replace(batch=given.batch._replace(y=poisoned))))
    assert torch.equal(before, after)


def test_time_chunks_are_the_stream_in_order() -> None:
    batch = stream().batch
    parts = list(time_chunks(batch, 3))
    assert [part.y.shape[1] for part in parts] == [3, 3, 2]
    assert torch.equal(torch.cat([part.y for part in parts], 1), batch.y)
    assert torch.equal(torch.cat([part.x["item"] for part in parts], 1), batch.x["item"])
    assert torch.equal(turned(turned(batch)).known, batch.known)


@pytest.mark.parametrize(
    ("method", "changes"), [("online/sgd", {"moves": "all"}), ("adaptive/fixed_share", {"rule.moves": "all"})]
)
def test_moving_table_rows_is_refused_with_the_reason(method: str, changes: dict[str, str]) -> None:
    with pytest.raises(MetarunError, match=r"moves=all adapts the rows of a whole task.*use moves=head"):
        prequential(rule(method, changes), stream())
