"""The judge: validation chooses and says so, test is read once under the choice, errors are clipped, hand-checked."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_map
from toys import adapting, model, negatives, rule, setting, tasks

from metarun.evaluate import Judge, grid
from metarun.protocols.labels import of_ratings
from metarun.rule import Batch, Rule, Task
from metarun.streams import Stream
from metarun.tasks import answers, encode

METHODS = adapting()
COSTLY = ("baseline/ease",)
"""Fewer points, for each of them inverts a matrix of items x items."""


class Times(Rule):
    """Predicts `level` times the number of support rows (or `level` itself for `fixed`)."""

    def __init__(self, tune: dict[str, list[float]] | None = None, level: float = 1.0, fixed: bool = False) -> None:
        super().__init__(model())
        self.level, self.fixed, self.other, self.tune = level, fixed, 0.0, tune

    def init(self, context: dict[str, Tensor]) -> Tensor:
        return torch.zeros(())

    def update(self, state: Tensor, batch: Batch) -> Tensor:
        return state + batch.known.sum()

    def predict(self, state: Tensor, x: dict[str, Tensor]) -> Tensor:
        rows = torch.ones_like(state) if self.fixed else state
        return (self.level * rows).expand(len(x["item"]))[:, None]


class Given:
    """Tasks with the labels and masks asked for."""

    def __init__(self, y: list[list[float]], known: list[list[float]] | None = None, support: int = 4) -> None:
        labels = torch.tensor(y)
        shown = torch.ones_like(labels) if known is None else torch.tensor(known)
        number, width = labels.shape
        none = torch.zeros(number, dtype=torch.int64)
        items = torch.arange(width).expand(number, -1)
        query = Batch({"item": items}, labels, shown, shown, none)
        ones, zeros = torch.ones(number, support), torch.zeros(number, support, dtype=torch.int64)
        self.task = Task({"key": torch.arange(number)}, Batch({"item": zeros}, ones, ones, ones, none), query)
        self.user = 100 + torch.arange(number)
        self.asked: list[int] = []

    def __len__(self) -> int:
        return len(self.user)

    def batch(self, indices: Tensor) -> Task:
        self.asked += indices.tolist()
        return tree_map(lambda leaf: leaf[indices], self.task)


def judge(
    metric: str = "rmse", supports: tuple[int, ...] = (1, 2, 4), limit: int = 500, rows: int = 100, **views: Any
) -> Judge:
    data = SimpleNamespace(
        supports=list(supports),
        cells=["user-cold"],
        negatives=0,
        rated=True,
        metrics=of_ratings(1.0, 5.0),
        rows=lambda support, cell=None: support,
        tasks=lambda split, cell="user-cold": views[split],
        streams=lambda split: views[f"{split}_streams"],
        warm_tasks=lambda: views.get("warm"),
        popularity=lambda: views["popularity"],
    )
    return Judge(data, metric=metric, validation_tasks=limit, stream_rows=rows, chunk=2, vmapped=True)


def test_the_best_point_is_chosen_at_every_support_size() -> None:
    found = judge(validation=Given([[4.0, 4.0]])).tune(Times({"level": [0.5, 1.0, 2.0, 4.0]}))
    assert {size: choice.point for size, choice in found.items()} == {1: {"level": 4}, 2: {"level": 2}, 4: {"level": 1}}
    assert [choice.value for choice in found.values()] == [0, 0, 0]
    assert [choice.edges for choice in found.values()] == [["level"], [], []]
    assert {choice.trials for choice in found.values()} == {4}


def test_both_edges_are_reported_and_a_single_value_is_none() -> None:
    here = judge(supports=(1,), validation=Given([[1.0]]))
    choice = here.tune(Times({"level": [3.0, 1.0, 2.0], "other": [0.0]}))[1]
    assert choice.point == {"level": 1.0, "other": 0.0}
    assert choice.edges == ["level"]
    assert choice.trials == 3
    assert here.tune(Times())[1] == ({}, 0.0, [], 1)


def test_equal_points_take_the_first() -> None:
    choice = judge(supports=(1,), validation=Given([[3.0]])).tune(Times({"other": [5.0, 1.0, 2.0]}))[1]
    assert choice.point == {"other": 5.0}


def test_the_rule_is_left_as_it_was() -> None:
    made = Times({"level": [0.5, 4.0]}, level=1.5)
    here = judge(validation=Given([[4.0]]), test=Given([[4.0]]))
    here.test(made, "meta/x", here.tune(made))
    assert made.level == 1.5


def test_what_diverges_is_never_chosen() -> None:
    here = judge(supports=(1,), validation=Given([[3.0]]))
    choice = here.tune(Times({"level": [float("nan"), 9.0]}))[1]
    assert choice.point == {"level": 9.0}
    lost = here.tune(Times({"level": [float("nan")]}))[1]
    assert lost.value == float("inf")
    assert lost.point["level"] != lost.point["level"]


def test_errors_are_those_of_clipped_predictions() -> None:
    here = judge(supports=(1,), test=Given([[5.0, 4.0], [1.0, 1.0]]))
    for level, mse, mae in ((9.0, [0.5, 16.0], [0.5, 4.0]), (-7.0, [12.5, 0.0], [3.5, 0.0])):
        made = Times(level=level)
        scores = {s.metric: s for s in here.test(made, "meta/x", {1: here.choose(made, lambda: 0.0)})}
        assert scores["mse"].values.tolist() == mse
        assert scores["mae"].values.tolist() == mae


def test_rmse_is_the_root_of_the_mean_over_tasks_and_mae_their_mean() -> None:
    y = [[2.0, 4.0], [3.0, 3.0]]
    for metric, value in (("rmse", ((0 + 4) / 2 / 2 + 1 / 2) ** 0.5), ("mae", (1 + 1) / 2)):
        here = judge(metric, supports=(1,), validation=Given(y))
        assert here.tune(Times(level=2.0))[1].value == pytest.approx(value)


def test_rows_without_a_label_are_not_judged() -> None:
    here = judge(supports=(1,), test=Given([[2.0, 5.0, torch.nan]], [[1.0, 1.0, 0.0]]))
    made = Times(level=2.0)
    scores = {s.metric: s for s in here.test(made, "meta/x", {1: here.choose(made, lambda: 0.0)})}
    assert scores["mse"].values.tolist() == [4.5]


def test_validation_takes_so_many_tasks_and_never_the_test() -> None:
    validation, test = Given([[float(i % 5 + 1)] for i in range(9)]), Given([[1.0]])
    judge(supports=(1,), limit=5, validation=validation, test=test).tune(Times({"level": [1.0, 2.0]}))
    assert sorted(set(validation.asked)) == [0, 1, 2, 3, 4]
    assert test.asked == []


def test_test_reads_every_task_once_per_size_under_its_choice() -> None:
    here = judge(validation=Given([[4.0]]), test=Given([[4.0], [2.0], [4.0]]))
    made = Times({"level": [0.5, 1.0, 2.0, 4.0]})
    scores = here.test(made, "meta/x", here.tune(made))
    assert here.data.tasks("test", "user-cold").asked == 3 * [0, 1, 2]
    for score in scores:
        assert (score.split, score.protocol, score.method, score.cell) == ("test", "tasks", "meta/x", "user-cold")
        assert score.ids.tolist() == [100, 101, 102]
        if score.metric == "mse":
            assert score.values.tolist() == [0, 4, 0]
    assert [s.support for s in scores if s.metric == "mse"] == [1, 2, 4]


def streams(y: list[list[float]]) -> list[Stream]:
    labels = torch.tensor(y)
    ones, items = torch.ones_like(labels), torch.zeros(labels.shape, dtype=torch.int64)
    keys = torch.arange(len(y))
    return [Stream({"key": keys}, Batch({"item": items}, labels, ones, ones, torch.zeros_like(keys)))]


def test_streams_are_judged_on_predictions_made_before() -> None:
    # the rule predicts 0, 1, 2, ... times the level, clipped to 1 .. 5: 1, 1, 2
    here = judge(test_streams=streams([[1.0, 2.0, 4.0], [1.0, 1.0, 2.0]]))
    scores = {s.metric: s for s in here.test_stream(Times(), "online/x", {})}
    assert scores["mse"].values.tolist() == pytest.approx([5 / 3, 0])
    assert scores["mae"].values.tolist() == pytest.approx([1, 0])
    assert {s.protocol for s in scores.values()} == {"prequential/chunk=1/delay=0"}
    assert all(s.support is None for s in scores.values())


def test_stream_values_are_chosen_on_validation_and_hindsight_on_test() -> None:
    here = judge(validation_streams=streams([[2.0, 2.0]]), test_streams=streams([[4.0, 4.0]]))
    made = Times({"level": [2.0, 3.0, 4.0]}, fixed=True)
    choice = here.tune_stream(made)
    assert (choice.point, choice.value, choice.edges) == ({"level": 2.0}, 0.0, ["level"])
    scores = {s.metric: s for s in here.test_stream(made, "online/x", choice.point)}
    assert scores["mse"].values.tolist() == [4.0]
    best = {s.metric: s for s in here.hindsight(made, "online/x")}
    assert best["mse"].values.tolist() == [0.0]
    assert {s.method for s in best.values()} == {"hindsight/online/x"}


def test_validation_streams_are_read_as_far_as_asked() -> None:
    given = streams([[2.0, 2.0, 5.0, 5.0, 5.0]])
    for rows, level in ((2, 2.0), (5, 4.0)):
        here = judge(rows=rows, validation_streams=given)
        assert here.tune_stream(Times({"level": [1.0, 2.0, 4.0]}, fixed=True)).point == {"level": level}


def test_warm_rankings_count_the_users_of_the_protocol() -> None:
    # 12 held-out items, of which 3 are relevant; the second user has none, the third has too few items
    first = [5.0, 4.0, 4.0] + [1.0] * 9
    known = [[1.0] * 12, [1.0] * 12, [1.0] * 5 + [0.0] * 7]
    warm = Given([first, [1.0] * 12, first], known)
    here = judge(supports=(4,), warm=warm, popularity=torch.arange(12))
    scores = here.warm(Times(), "meta/x", {}, thresholds=[4], k=4)
    ranked = [s for s in scores if s.protocol == "rated-only/threshold=4"]
    assert {s.metric for s in ranked} == {"precision@4", "recall@4"}
    assert all(s.ids.tolist() == [100] and s.support is None for s in ranked)
    # a constant score is a random order: each place holds a relevant item with probability 3 / 12
    values = {s.metric: s.values[0] for s in ranked}
    assert values["precision@4"] == pytest.approx(3 / 12)
    assert values["recall@4"] == pytest.approx(4 / 12)
    assert [s.ids.tolist() for s in scores if s.metric == "mse"] == [[100, 101, 102]]
    found = {(s.method, s.metric): s.values[0] for s in here.references([4], 4)}
    assert found["baseline/oracle", "precision@4"] == pytest.approx(3 / 4)
    assert found["baseline/oracle", "recall@4"] == 1
    assert found["baseline/random", "precision@4"] == pytest.approx(3 / 12)
    assert found["baseline/popularity", "recall@4"] == 0  # the relevant items are the least popular ones


def test_a_split_without_withheld_rows_has_no_warm_scores() -> None:
    here = judge()
    assert here.warm(Times(), "meta/x", {}, [4], 4) == []
    assert here.references([4], 4) == []


@pytest.mark.parametrize("method", METHODS)
def test_every_packaged_grid_has_as_many_points(method: str) -> None:
    """Equal numbers of validation trials, or none at all."""
    made = rule(method, None, *setting(method))
    points = len(grid(made))
    assert 1 < points < 24 if method in COSTLY else points == (24 if made.tune else 1)


@pytest.mark.parametrize("method", METHODS)
def test_every_field_of_a_grid_changes_predictions(method: str) -> None:
    made = rule(method, None, *setting(method))
    task = tasks(4, others=negatives(made))
    for name, values in (made.tune or {}).items():
        found = []
        if len(values) == 1:  # nothing to choose
            continue
        for value in (values[0], values[-1]):
            with made.set({name: value}):
                found.append(answers(made, encode(made, task), True))
        assert not torch.equal(*found), f"{method}: {name} changes nothing"


def test_grid_is_the_product_in_order() -> None:
    points = grid(Times({"a": [1, 2], "b": [3, 4]}))
    assert points == [{"a": 1, "b": 3}, {"a": 1, "b": 4}, {"a": 2, "b": 3}, {"a": 2, "b": 4}]
    assert grid(Times()) == [{}]
