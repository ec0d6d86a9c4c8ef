"""All ratings as one stream: their order, what is scored, and in which blocks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from toys import ratings

from metarun.data import whole
from metarun.data.whole import WholeStream
from metarun.errors import MetarunError


def test_rows_come_by_time_then_user_then_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole, "ROWS", 100)
    given = ratings()
    tied = replace(given, time=given.time // 50)  # many rows of one second
    stream = WholeStream(tied, 0.1, 10)
    order = sorted(range(len(tied.user)), key=lambda row: (tied.time[row], tied.user[row], row))
    batches = [stream.batch(step) for step in range(len(stream))]
    assert torch.cat([rows.x["item"] for _, rows in batches]).tolist() == tied.item[order].tolist()
    assert torch.cat([rows.x["user"] for _, rows in batches]).tolist() == tied.user[order].tolist()
    assert torch.cat([rows.y for _, rows in batches]).tolist() == tied.value[order].tolist()
    assert stream.opening in [first for first, _ in batches]
    assert [first for first, _ in batches] == np.cumsum([0, *(len(rows.y) for _, rows in batches[:-1])]).tolist()


def test_blocks_are_equal_and_leave_the_opening_out() -> None:
    given = ratings()
    total = len(given.user)
    stream = WholeStream(given, 0.1, 7)
    counts = torch.bincount(stream.block(0, total), minlength=8)
    assert counts[0] == stream.opening == int(0.1 * total)
    assert counts[1:].tolist() == stream.edges.diff().tolist()
    assert counts[1:].max() - counts[1:].min() <= 1


def test_what_cannot_be_scored_is_refused() -> None:
    given = ratings()
    with pytest.raises(MetarunError, match=r"split=stream needs a time for every rating, but 1 of .* have none"):
        WholeStream(replace(given, time=np.append(0, given.time[1:])), 0.1, 5)
    with pytest.raises(MetarunError, match=r"evaluate.stream_start=1 leaves 0 of .* evaluate.stream_blocks=5"):
        WholeStream(given, 1.0, 5)
