"""Tasks of groups: whole groups test, queries are the same at every size, and training rows alone teach the columns."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from metarun.data.group_tasks import GroupTasks
from metarun.data.grouped import Grouped
from metarun.data.labelled import LabelledRows, assemble
from metarun.data.table_data import TableData
from metarun.data.tables.encoding import learn
from metarun.errors import MetarunError
from metarun.metrics.clinical import auroc, brier, sensitivity, specificity

VIEW: dict[str, Any] = {
    "split_seed": 0, "test_group": None, "supports": [0, 3], "queries": 6, "train_shots": None, "train_queries": None,
    "test_tasks": 10,
}  # fmt: skip


def people(sizes: tuple[int, ...] = (20, 30, 25, 12)) -> LabelledRows:
    """Return rows whose input is (group, place), of which a fourth is of the second class."""
    group = np.repeat(np.arange(len(sizes)), sizes)
    place = np.concatenate([np.arange(size) for size in sizes])
    inputs = np.stack([group, place], 1).astype(np.float64)
    names = [f"g{number}" for number in range(len(sizes))] if len(sizes) > 1 else ["all"]
    return assemble("toy", inputs, (place % 4 == 3).astype(np.int64), ["no", "yes"], group, names)


class Toy(Grouped):
    """Rows that are given."""

    def __init__(self, rows: LabelledRows, **view: Any) -> None:
        super().__init__(**{**VIEW, **view})
        self.given = rows

    def read(self) -> LabelledRows:
        """Return the rows."""
        return self.given


def test_no_group_is_in_two_parts_and_the_named_one_tests() -> None:
    data = Toy(people(), test_group="g2")
    assert data.parts["test"] == [2]
    assert sorted(number for part in data.parts.values() for number in part) == [0, 1, 2, 3]
    assert set(data.table.group[data.seen]) == set(data.parts["train"])
    tested = data.tasks("test").batch(torch.arange(10))
    assert set(tested.query.x[..., 0].unique().tolist()) == {2.0}


def test_support_and_query_are_apart_and_queries_do_not_depend_on_the_sizes() -> None:
    few, many = (Toy(people(), supports=sizes).tasks("test").batch(torch.arange(8)) for sizes in ([2], [0, 2, 5]))
    assert torch.equal(few.query.x, many.query.x)
    assert torch.equal(few.support.x, many.support.x[:, :2])
    for t in range(8):
        rows = torch.cat([many.support.x[t], many.query.x[t]]).tolist()
        assert len({tuple(row) for row in rows}) == 11
        assert 1 <= int((many.query.y[t] == 1).sum()) <= 2, "a fourth of six"


def test_a_draw_is_a_pure_function_of_its_number() -> None:
    data = Toy(people())
    whole, part = data.tasks("test").batch(torch.arange(6)), data.tasks("test").batch(torch.tensor([4]))
    assert torch.equal(whole.query.x[4:5], part.query.x)
    shots = data.train_tasks(1, 1, seed=0).batch(torch.arange(40)).support.mask.sum(1)
    assert set(shots.tolist()) == {0, 3}


@pytest.mark.parametrize("count", [[9, 1], [1, 9], [5, 5], [3, 4, 2, 1]])
def test_every_class_is_asked_about(count: list[int]) -> None:
    label = torch.repeat_interleave(torch.arange(len(count)), torch.tensor(count))
    tasks = GroupTasks(
        torch.zeros(len(label), 1), label, [np.arange(len(label))], len(count), [1], 5,
        number=3, seed=0, name="a", fixed=True,
    )  # fmt: skip
    assert int(tasks.quota.sum()) == 5
    assert tasks.batch(torch.arange(3)).query.y.sort(1).values.unique(dim=0).shape[0] == 1
    assert set(tasks.batch(torch.tensor([0])).query.y[0].tolist()) == set(range(len(count)))


def test_rows_of_nobody_are_split_themselves() -> None:
    data = Toy(people((100,)))
    assert data.table.groups == ["all"]
    asked = data.tasks("test").batch(torch.arange(10))
    places = set(asked.query.x[..., 1].flatten().int().tolist())
    assert not places & set(np.flatnonzero(data.seen).tolist())
    assert data.setting == {"split_seed": 0}


@pytest.mark.parametrize(
    ("rows", "view", "said"),
    [
        (people(), {"test_group": "g7"}, "dataset.test_group=g7: toy has no such group; choose g0, g1"),
        (people((20, 20)), {}, "toy has 2 groups, but one has to train"),
        (
            people((20, 20, 20)),
            {"queries": 30},
            "3 labels and 30 queries need 33 rows of a group, but",
        ),
    ],
)
def test_what_does_not_fit_is_told(rows: LabelledRows, view: dict[str, Any], said: str) -> None:
    with pytest.raises(MetarunError, match=said):
        Toy(rows, **view).tasks("test")


def test_small_groups_are_left_out_and_told() -> None:
    data = Toy(people((20, 30, 25, 12, 4, 4, 4, 4, 4, 40)), split_seed=3, supports=[5], queries=5)
    small = sum(len(rows) < 10 for rows in data.members("test"))
    assert small > 0
    assert data.left_out() == [f"{small} of 2 test groups have less than 10 rows: left out"]


def test_columns_are_read_as_training_rows_taught() -> None:
    table = np.array([[1.0, 2.0, 1.0], [3.0, 2.0, 2.0], [np.nan, 2.0, 1.0]])
    found = learn(table, [2])
    assert found(table).tolist() == [[-1, 0, 0, 1, 0], [1, 0, 0, 0, 1], [0, 1, 0, 1, 0]]
    assert found(np.array([[5.0, np.nan, 9.0]])).tolist() == [[3, 0, 0, 0, 0]], "a hole or category never seen is 0"


def test_other_groups_do_not_change_how_columns_are_read() -> None:
    class Table(TableData):
        shift = 0.0

        def read(self) -> LabelledRows:
            rows = people()
            rows.inputs[rows.group == 2] += self.shift
            return rows

    plain, moved = (Table(label_noise=0.0, **{**VIEW, "test_group": "g2"}) for _ in range(2))
    moved.shift = 1e6
    seen = torch.from_numpy(plain.seen)
    assert torch.equal(plain.inputs[seen], moved.inputs[seen])


@pytest.mark.parametrize("numbers", [False, True])
def test_label_noise_is_of_training_rows_alone(numbers: bool) -> None:
    class Table(TableData):
        def read(self) -> LabelledRows:
            rows = people((400, 300, 300))
            return replace(rows, label=rows.inputs[:, 1].astype(np.float32), classes=[]) if numbers else rows

    clean, noisy = (Table(label_noise=noise, **{**VIEW, "test_group": "g2"}) for noise in (0.0, 0.3))
    other = (clean.label != noisy.label).numpy()
    assert not other[~clean.seen].any()
    if numbers:
        assert (noisy.label - clean.label)[clean.seen].std() == pytest.approx(0.3, rel=0.1)
    else:
        assert other[clean.seen].mean() == pytest.approx(0.3, abs=0.05)
        assert set(noisy.label.tolist()) == {0, 1}
    assert ("label_noise" in noisy.setting, "label_noise" in clean.setting) == (True, False)


def test_clinical_metrics_by_hand() -> None:
    out = torch.log(torch.tensor([[[0.9, 0.1], [0.6, 0.4], [0.6, 0.4], [0.2, 0.8]]]))
    y, mask = torch.tensor([[0, 1, 0, 1]]), torch.ones(1, 4)
    assert auroc(out, y, mask).item() == pytest.approx(3.5 / 4)
    assert (sensitivity(out, y, mask).item(), specificity(out, y, mask).item()) == (0.5, 1.0)
    assert brier(out, y, mask).item() == pytest.approx((0.01 + 0.36 + 0.16 + 0.04) / 4)
    assert auroc(out, torch.zeros_like(y), mask).isnan().all()
