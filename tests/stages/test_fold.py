"""What transfer and online stages write back: a start of the head to which side information is added once."""

from __future__ import annotations

import pytest
import torch
from toys import rule, tasks

from metarun.heads.linear import Linear
from metarun.stages.fold import Online, Transfer
from metarun.streams import Stream, start
from metarun.tasks import encode

STILL = {"inner_lr": 1e-30}
SHIFTED = "backbone=mf_features"


def test_transfer_writes_back_the_start_without_the_side_information_of_the_average_user() -> None:
    made = rule("transfer/finetune", STILL, SHIFTED)
    context = {"key": torch.zeros((), dtype=torch.int64), "features": torch.ones(3, dtype=torch.float64)}
    head = made.model.head
    assert isinstance(head, Linear)
    with torch.no_grad():
        shift = head.shift(context)
        assert shift.abs().max() > 1e-4, "or the test shows nothing"
        stage = Transfer(made, made.init(context), "transfer/finetune", shift)
        found = stage.committed()["head.weight"]
    torch.testing.assert_close(found, head.weight.detach())


@pytest.mark.parametrize("method", ["online/sgd", "adaptive/fixed_share"])
def test_online_writes_back_the_start_without_the_side_information_of_its_users(method: str) -> None:
    made = rule(method, STILL if method == "online/sgd" else {"rates": [1e-30, 2e-30]}, SHIFTED)
    given = encode(made, tasks())
    head = made.model.head
    assert isinstance(head, Linear)
    with torch.no_grad():
        state = start(made, Stream(given.context, given.support))
        shift = head.shift({"features": given.context["features"].mean(0)})
        found = Online(made, state, method, shift, vmapped=True).committed()["head.weight"]
    torch.testing.assert_close(found, head.weight.detach())


def test_a_head_without_side_information_has_no_shift() -> None:
    head = rule("transfer/finetune", STILL).model.head
    assert isinstance(head, Linear)
    assert not head.shift({}).any()
