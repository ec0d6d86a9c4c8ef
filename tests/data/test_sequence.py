"""Tasks one after another: who is in which, what is asked about is never learned from, and pixels move as told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from metarun.data.streams.sequence import plan
from metarun.datasets.sequence import Sequence
from metarun.errors import MetarunError

pytest.importorskip("sklearn")


def digits(kind: str, **changes: Any) -> Sequence:
    fields = {"size": 2, "tasks": 3, "rows": None, "test_rows": None, "split_seed": 0} | changes
    return Sequence("digits", None, kind, **fields)


@pytest.mark.parametrize("kind", ["class", "domain", "task"])
def test_every_class_is_in_one_task_and_no_row_is_learned_and_asked(kind: str) -> None:
    data = digits(kind)
    found = data.plan
    assert sorted(np.concatenate(found.classes).tolist()) == list(range(10))
    for task, (rows, asked) in enumerate(zip(found.rows, found.exams, strict=True)):
        assert set(data.images.label[rows]) == set(data.images.label[asked]) == set(found.classes[task])
    everything = np.concatenate([*found.rows, *found.exams])
    assert len(np.unique(everything)) == len(everything) == len(data.images.label)
    assert data.edges.tolist() == np.cumsum([0, *map(len, found.rows)]).tolist()
    assert data.truth["drifts"] == data.edges[1:-1].tolist()


def test_rows_of_the_stream_are_those_images_across_a_boundary() -> None:
    data = digits("class")
    first, last = int(data.edges[1]) - 2, int(data.edges[1]) + 2
    x, y = data.part(first, last, data.scaler())
    rows = np.concatenate([data.plan.rows[0][-2:], data.plan.rows[1][:2]])
    torch.testing.assert_close(x, torch.from_numpy(data.images.pixels[rows]).float() / 255)
    assert y.tolist() == data.images.label[rows].tolist()


def test_domain_labels_are_places_within_a_task_and_tasks_are_told_only_when_asked_for() -> None:
    data = digits("domain")
    assert data.spec.outputs == 2
    for task in range(data.exams):
        y = data.labels(task, data.plan.rows[task])
        assert torch.equal(
            y, torch.from_numpy((data.images.label[data.plan.rows[task]] == data.plan.classes[task][1]) * 1)
        )
    assert data.open_classes(0) is None
    told = digits("task").open_classes(1)
    assert told is not None
    assert sorted(told.nonzero()[:, 0].tolist()) == sorted(digits("task").plan.classes[1].tolist())


def test_permuted_pixels_are_one_order_per_task_for_rows_and_exams_alike() -> None:
    data = digits("permuted", rows=50)
    assert [len(rows) for rows in data.plan.rows] == [50, 50, 50]
    assert data.plan.pixels is not None
    plain = data.images.pixels[data.plan.exams[2]].reshape(-1, 64)
    x, _ = data.exam(2)
    torch.testing.assert_close(x.reshape(-1, 64) * 255, torch.from_numpy(plain[:, data.plan.pixels[2]]).float())
    assert data.plan.pixels[0].tolist() == list(range(64)), "the first task has them in place"
    assert sorted(data.plan.pixels[1].tolist()) == list(range(64))


def test_the_plan_is_a_function_of_its_seed() -> None:
    images = digits("class").images
    first, again, other = (plan(images, "class", 2, 1, 20, 10, seed) for seed in (3, 3, 4))
    assert all(np.array_equal(a, b) for a, b in zip(first.rows, again.rows, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first.rows, other.rows, strict=True))


@pytest.mark.parametrize("size", [3, 10])
def test_classes_that_cannot_be_shared_out_are_refused(size: int) -> None:
    with pytest.raises(MetarunError, match=f"dataset.size={size}.*use 1 or 2 or 5"):
        _ = digits("class", size=size).plan
