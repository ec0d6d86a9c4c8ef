"""Every rule over one stream keeps the laws, and every law catches a rule that breaks it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from table_laws import LAWS, context, rows
from torch import Tensor
from toys import composed, passing

from metarun import build, config
from metarun.errors import MetarunError
from metarun.evaluate import grid
from metarun.rule import Batch
from metarun.strategies.baseline.running import LastRating
from metarun.strategies.online.incremental_mf import IncrementalMF
from metarun.tables import TableRule

METHODS = passing()


def made(method: str) -> TableRule:
    if "river" in method:
        pytest.importorskip("river")
    rule = build.make(config.load_option(composed(), f"strategy/{method}"), "strategy", model=None)
    assert isinstance(rule, TableRule)
    return rule


def test_the_rows_that_a_stream_is_read_beside_are_there() -> None:
    assert {"online/incremental_mf", "baseline/last_rating", "baseline/running_bias", "baseline/river"} <= set(METHODS)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("method", METHODS)
def test_rule_keeps(law: str, method: str) -> None:
    rule = made(method)
    LAWS[law](rule, context(grid(rule)[::7]), rows())


@pytest.mark.parametrize("method", METHODS)
def test_every_packaged_grid_has_as_many_points(method: str) -> None:
    """Equal numbers of settings side by side, or none at all."""
    assert len(grid(made(method))) == (24 if made(method).tune else 1)


@pytest.mark.parametrize("method", METHODS)
def test_every_field_of_a_grid_changes_predictions(method: str) -> None:
    rule = made(method)
    for name, values in (rule.tune or {}).items():
        points = [{**grid(rule)[0], name: value} for value in (values[0], values[-1])]
        out, _ = rule.step(rule.init(context(points)), rows())
        assert not torch.equal(out[:, 0], out[:, 1]), f"{method}: {name} changes nothing"


class LooksAhead(LastRating):
    def learn(self, state: Any, batch: Batch) -> Tensor:
        out = super().learn(state, batch)
        return torch.where((batch.known > 0)[:, None], batch.y[:, None].expand_as(out), out)


class ReadsHiddenLabels(LastRating):
    def learn(self, state: Any, batch: Batch) -> Tensor:
        return super().learn(state, batch._replace(known=batch.mask))


class LearnsInGroups(LastRating):
    def learn(self, state: Any, batch: Batch) -> Tensor:
        before = self.predict(state, batch.x)
        super().learn(state, batch)
        return before


class Copies(LastRating):
    def update(self, state: Any, batch: Batch) -> Any:
        return super().update({name: leaf.clone() for name, leaf in state.items()}, batch)


class SharesItsCopy(LastRating):
    def keep(self, state: Any, point: int) -> Any:
        return state


class Draws(LastRating):
    def init(self, context: dict[str, Any]) -> Any:
        torch.rand(())
        return super().init(context)


@pytest.mark.parametrize(
    ("law", "broken"),
    [
        ("1 step", Copies),
        ("1 step", LearnsInGroups),
        ("2 grouping", LearnsInGroups),
        ("3 hidden", ReadsHiddenLabels),
        ("4 future", LooksAhead),
        ("5 points", SharesItsCopy),
        ("6 pure", Draws),
    ],
)
def test_law_catches(law: str, broken: type[LastRating]) -> None:
    with pytest.raises(AssertionError):
        LAWS[law](broken(of_user=True), context(), rows())


def test_rows_that_nobody_touches_stay_as_they_are() -> None:
    rule = IncrementalMF()
    state = rule.init(context())
    before = {name: state[name].clone() for name in ("mean", "variance")}
    rule.update(state, rows(1)._replace(y=torch.tensor([5.0]), mask=torch.ones(1), known=torch.ones(1)))
    for name, table in before.items():
        changed = (state[name] != table).flatten(1).any(1)
        assert changed.sum() == 2, name


def test_a_grid_over_what_points_cannot_differ_in_is_refused() -> None:
    with pytest.raises(MetarunError, match=r"tune\.dim: .* may differ in bias, taste"):
        IncrementalMF(tune={"dim": [4, 8]})
