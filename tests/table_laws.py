"""The laws of a rule over one stream of everybody's rows. Each takes a rule, a context and a batch, and raises."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from laws import _globals, _same
from torch import Tensor

from metarun.rule import Batch, chunks
from metarun.tables import TableRule

Context = dict[str, Any]
Law = Callable[[TableRule, Context, Batch], None]

USERS, ITEMS = 7, 9


def context(points: list[dict[str, float]] | None = None, seed: int = 0) -> Context:
    return {"users": USERS, "items": ITEMS, "scale": (1.0, 5.0, 1.0), "seed": seed, "points": points or [{}]}


def rows(number: int = 60, seed: int = 0) -> Batch:
    """Return rows of the first users and items only; of a few the label is hidden, a few do not exist."""
    draw = torch.Generator().manual_seed(seed)
    x = {name: torch.randint(size - 2, (number,), generator=draw) for name, size in (("user", USERS), ("item", ITEMS))}
    y = torch.randint(1, 6, (number,), generator=draw).float()
    mask = (torch.rand(number, generator=draw) > 0.1).float()
    known = mask * (torch.rand(number, generator=draw) > 0.2)
    return Batch(x, y, mask, known, torch.zeros((), dtype=torch.int64))


def same(a: Tensor, b: Tensor, what: str) -> None:
    assert torch.equal(a, b), what


def everything(rule: TableRule, state: Any) -> Tensor:
    """Return what a state predicts for all pairs of a user and an item, (pairs, P)."""
    user, item = torch.meshgrid(torch.arange(USERS), torch.arange(ITEMS), indexing="ij")
    return rule.predict(state, {"user": user.flatten(), "item": item.flatten()})


def step_is_predict_then_update_row_by_row(rule: TableRule, given: Context, batch: Batch) -> None:
    out, after = rule.step(rule.init(given), batch)
    state = rule.init(given)
    for number, row in enumerate(chunks(batch, 1)):
        if row.mask.sum() > 0:
            found = rule.predict(state, row.x)[0]
            assert torch.allclose(out[number].double(), found.double(), atol=1e-5), "step's prediction"
        assert rule.update(state, row) is state, "the state is changed in place"
    same(everything(rule, after), everything(rule, state), "step's state")


def any_grouping_of_rows_is_the_same(rule: TableRule, given: Context, batch: Batch) -> None:
    whole, state = rule.step(rule.init(given), batch)
    other, parts = rule.init(given), []
    for part in chunks(batch, 7):
        out, other = rule.step(other, part)
        parts.append(out)
    same(torch.cat(parts), whole, "predictions")
    same(everything(rule, other), everything(rule, state), "state")


def hidden_rows_change_nothing(rule: TableRule, given: Context, batch: Batch) -> None:
    out, state = rule.step(rule.init(given), batch)
    poisoned = batch._replace(y=torch.where(batch.known > 0, batch.y, torch.nan))
    found, other = rule.step(rule.init(given), poisoned)
    same(found, out, "hidden labels")
    same(everything(rule, other), everything(rule, state), "hidden labels")
    x = {name: torch.where(batch.mask > 0, ids, 0) for name, ids in batch.x.items()}
    found, other = rule.step(rule.init(given), poisoned._replace(x=x))
    same(found[batch.mask > 0], out[batch.mask > 0], "rows that do not exist")
    same(everything(rule, other), everything(rule, state), "rows that do not exist")


def labels_of_the_future_change_nothing(rule: TableRule, given: Context, batch: Batch) -> None:
    out, _ = rule.step(rule.init(given), batch)
    for row in range(20, 26):
        later = torch.arange(len(batch.y)) >= row
        found, _ = rule.step(rule.init(given), batch._replace(y=torch.where(later, 6 - batch.y, batch.y)))
        same(found[: row + 1], out[: row + 1], "the row's own label or a later one")
        assert not torch.equal(found[row + 1 :], out[row + 1 :]), "nothing is learned"


def points_side_by_side_are_points_alone(rule: TableRule, given: Context, batch: Batch) -> None:
    for number, point in enumerate(given["points"]):
        together, state = rule.step(rule.init(given), batch)
        alone, own = rule.step(rule.init({**given, "points": [point]}), batch)
        assert torch.allclose(together[:, number : number + 1], alone, atol=1e-5), f"point {number}"
        kept = rule.keep(state, number)
        assert torch.allclose(everything(rule, kept).double(), everything(rule, own).double(), atol=1e-5)
        before = everything(rule, kept)
        rule.update(state, batch)
        same(everything(rule, kept), before, "what was kept is a copy")


def predicting_changes_nothing_and_no_global_random_numbers_are_drawn(
    rule: TableRule, given: Context, batch: Batch
) -> None:
    before = _globals()
    state = rule.init(given)
    rule.update(state, batch)
    handed = copy.deepcopy(batch)
    same(everything(rule, state), everything(rule, state), "predicting twice")
    rule.update(state, batch)
    assert _same(before, _globals()), "global random numbers were drawn"
    for name in batch.x:
        same(batch.x[name], handed.x[name], "what was handed in")
    again = rule.init(given)
    rule.update(rule.update(again, batch), batch)
    same(everything(rule, again), everything(rule, state), "the same again")


LAWS: dict[str, Law] = {
    "1 step": step_is_predict_then_update_row_by_row,
    "2 grouping": any_grouping_of_rows_is_the_same,
    "3 hidden": hidden_rows_change_nothing,
    "4 future": labels_of_the_future_change_nothing,
    "5 points": points_side_by_side_are_points_alone,
    "6 pure": predicting_changes_nothing_and_no_global_random_numbers_are_drawn,
}
