"""Tables that are mostly zeros take little room."""

from __future__ import annotations

import pytest
import torch

from metarun.answers.packed import pack, unpack


@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.9])
def test_a_tensor_comes_back_as_it_was(share: float) -> None:
    table = torch.rand(50, 40) * (torch.rand(50, 40) < share)
    packed = pack(table)
    assert torch.equal(unpack(packed), table)
    assert isinstance(packed, torch.Tensor) == (share > 0.25)


def test_numbers_without_an_axis_stay() -> None:
    assert unpack(pack(torch.tensor(3.0))) == 3.0
