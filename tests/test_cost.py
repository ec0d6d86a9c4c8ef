"""Which stages a method is charged with."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from metarun.cost import cost

USED = {
    "1-pretrain": (10, 1.0), "1-transfer": (2, 0.5), "1-meta": (20, 4.0), "2-pretrain": (10, 1.0),
    "own-2-pretrain": (10, 1.0), "2-transfer": (2, 0.5), "2-meta": (20, 4.0), "own-transfer-finetune": (4, 0.25),
    "own-1-retrain": (10, 1.0), "own-2-retrain": (10, 1.0),
}  # fmt: skip


def test_every_step_is_charged_once() -> None:
    pipeline: Any = SimpleNamespace(used=USED)
    judging = {"baseline/ridge": 0.1, "transfer/finetune": 0.2, "baseline/retrained": 0.3, "meta/maml": 0.4}
    found = cost(pipeline, judging)
    assert found == {
        "pretrain": {"seconds": 3.0, "steps": 30},
        "baseline/ridge": {"seconds": 0.1, "steps": 0},
        "transfer/finetune": {"seconds": 0.45, "steps": 4},
        "baseline/retrained": {"seconds": 2.3, "steps": 20},
        "meta/maml": {"seconds": 9.4, "steps": 44},
    }
    assert sum(one["steps"] for one in found.values()) == sum(steps for steps, _ in USED.values())
