"""Every rule under conf/strategy keeps the six laws, and every law catches a rule that breaks it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import array_toys
import pytest
import torch
from array_toys import CLASSIFICATION, REGRESSION
from laws import LAWS
from torch import Tensor
from toys import RANKS, adapting, model, negatives, rule, setting, tasks

from metarun.rule import Batch, Rule

# Rules whose state is tables have laws of their own: test_tables.py.
METHODS = adapting()
VARIANTS: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
    ("transfer/finetune", {"moves": "all", "steps": 2}, ()),
    ("transfer/finetune", {"moves": "all", "anchor": 0.3, "steps": 2}, ("backbone=mf_features",)),
    ("transfer/finetune", {"anchor": 0.3}, ("backbone.bias=false",)),
    ("transfer/ridge", {}, ("backbone.bias=false",)),
    ("transfer/ridge", {}, ("backbone=mf_features",)),
    ("transfer/probe", {"begins": "fresh", "steps": 3}, ()),
    ("adaptive/fixed_share", {"rule.moves": "all", "rates": [0.02, 0.1]}, ()),
    ("adaptive/fixed_share", {"share": 0.0}, ()),
    ("meta/maml", {"moves": "all", "steps": 2}, ()),
    ("meta/maml", {"moves": "all", "learns": "all", "steps": 2}, ("backbone=mf_features",)),
    ("meta/maml", {"moves": "all", "steps": 2}, ("backbone.bias=false",)),
    ("meta/maml", {"moves": "both", "learns": "all", "steps": 2}, ("backbone=mf_features",)),
    ("meta/maml", {"moves": "rows", "learns": "all", "steps": 2}, ("backbone=mf_features",)),
    ("transfer/finetune", {"moves": "items", "anchor": 0.3, "steps": 2}, ()),
    ("meta/metasgd", {"moves": "all", "learns": "all"}, ("backbone=mf_features",)),
    ("meta/curvature", {"moves": "all", "learns": "all", "steps": 2}, ("backbone=mf_features",)),
    ("meta/reptile", {"moves": "both", "steps": 2}, ()),
    ("meta/maml", {"first_order": True, "learn_rate": "scalar"}, ()),
    ("meta/maml", {"learns": "all"}, ("backbone=mf_features",)),
    ("meta/update_rule", {"form": "diagonal", "theta_init": "identity"}, ()),
    ("meta/update_rule", {"form": "low_rank", "theta_init": "zeros"}, ()),
    ("meta/update_rule", {"learns": "all"}, ("backbone=mf_features",)),
    ("meta/ridge", {"prior_init": "isotropic"}, ()),
    ("meta/ridge", {}, ("objective=absolute", "evaluate.metric=mae")),
    ("transfer/finetune", {"steps": 2}, ("objective=absolute", "evaluate.metric=mae")),
    ("meta/ridge", {"learns": "all"}, ("backbone=mf_features",)),
]
VARIANTS += [
    ("baseline/ease", {"l2": 3.0}, RANKS),
    ("baseline/ials", {}, (*RANKS, "backbone.bias=false")),
    ("baseline/frozen", {}, RANKS),
    ("baseline/ridge", {}, (*RANKS, "backbone=mf_features")),
    ("baseline/gaussian_prior", {}, (*RANKS, "backbone.bias=false")),
    ("transfer/finetune", {"steps": 2}, RANKS),
    ("transfer/finetune", {"steps": 2}, (*RANKS, "objective.loss=bpr", "backbone.bias=false")),
    ("online/sgd", {}, (*RANKS, "objective.loss=implicit")),
    ("meta/maml", {"steps": 2}, (*RANKS, "backbone=mf_features")),
    ("meta/update_rule", {"steps": 2}, (*RANKS, "backbone.bias=false")),
    ("meta/ridge", {}, RANKS),
]
CASES = [(method, {}, setting(method)) for method in METHODS] + VARIANTS


def named(case: tuple[str, dict[str, Any], tuple[str, ...]]) -> str:
    return " ".join([case[0], *(f"{k}={v}" for k, v in case[1].items()), *case[2]])


def test_every_family_is_there() -> None:
    assert {method.split("/")[0] for method in METHODS} >= {"transfer", "online", "adaptive", "meta", "baseline"}


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("case", CASES, ids=named)
def test_rule_keeps(law: str, case: tuple[str, dict[str, Any], tuple[str, ...]]) -> None:
    method, changes, overrides = case
    made = rule(method, changes, *overrides)
    LAWS[law](made, tasks(3, others=negatives(made)))


ON_ARRAYS: list[tuple[str, str, dict[str, Any], str]] = [
    (method, kind, {}, "none") for method, kind in array_toys.methods()
]
ON_ARRAYS += [
    ("meta/maml", CLASSIFICATION, {"learns": "all"}, "support"),
    ("meta/maml", CLASSIFICATION, {"learns": "all"}, "query"),
    ("meta/ridge", CLASSIFICATION, {"learns": "all", "prior_init": "isotropic", "precision": "scalar"}, "support"),
    ("meta/protonet", CLASSIFICATION, {"learn_scale": True}, "query"),
    ("meta/matching", CLASSIFICATION, {}, "support"),
    ("meta/cnp", REGRESSION, {}, "support"),
    ("baseline/nearest_mean", CLASSIFICATION, {"centre": False, "unit": False}, "none"),
    ("meta/zeroshot", CLASSIFICATION, {"hidden": [3]}, "none"),
    ("meta/maml", CLASSIFICATION, {"moves": "all", "learns": "all", "steps": 2, "test_steps": 3}, "support"),
    ("meta/maml", CLASSIFICATION, {"moves": "all", "learns": "all", "steps": 2}, "query"),
    ("meta/reptile", CLASSIFICATION, {"steps": 2}, "support"),
    ("meta/curvature", REGRESSION, {"steps": 2}, "support"),
    ("transfer/finetune", CLASSIFICATION, {"moves": "all", "steps": 2, "anchor": 0.3}, "group"),
    ("transfer/baselineplusplus", CLASSIFICATION, {"steps": 3}, "support"),
    ("transfer/unfreeze", CLASSIFICATION, {"steps": 4, "anchor": 0.2}, "support"),
    ("transfer/lora", CLASSIFICATION, {"steps": 2}, "support"),
    ("transfer/lora", REGRESSION, {"steps": 2, "rank": 1}, "query"),
]


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("case", ON_ARRAYS, ids=lambda case: " ".join(str(part) for part in case))
def test_rule_keeps_on_plain_arrays(law: str, case: tuple[str, str, dict[str, Any], str]) -> None:
    method, kind, changes, norm = case
    LAWS[law](array_toys.rule(method, kind, changes, norm), array_toys.tasks(kind))


class Good(Rule):
    """The damped mean of the known labels."""

    def init(self, context: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"sum": torch.zeros((), dtype=torch.float64), "rows": torch.ones((), dtype=torch.float64)}

    def update(self, state: dict[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        y = torch.where(batch.known > 0, batch.y, 0.0)
        return {"sum": state["sum"] + y.sum(), "rows": state["rows"] + batch.known.sum()}

    def predict(self, state: dict[str, Tensor], x: dict[str, Tensor]) -> Tensor:
        return (state["sum"] / state["rows"]).expand(len(x["item"]))[:, None]


class PredictsTooLate(Good):
    def step(self, state: dict[str, Tensor], batch: Batch) -> tuple[Tensor, Any]:
        new = self.update(state, batch)
        return self.predict(new, batch.x), new


class PathWithoutEnd(Good):
    def path(self, state: dict[str, Tensor], batch: Batch) -> Any:
        yield state


class ReadsEveryLabel(Good):
    def update(self, state: dict[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        return {**state, "sum": state["sum"] + (batch.y * batch.mask).sum()}


class MultipliesByZero(Good):
    def update(self, state: dict[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        return {**state, "sum": state["sum"] + (batch.y * batch.known).sum()}


class ReadsEveryInput(Good):
    def update(self, state: dict[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        return {**super().update(state, batch), "sum": state["sum"] + (batch.x["item"] * batch.mask).mean()}


class CountsPadding(Good):
    def update(self, state: dict[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        return {**super().update(state, batch), "rows": state["rows"] + len(batch.y)}


class LikesTheLastRow(Good):
    def update(self, state: dict[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        last = (batch.known * torch.arange(len(batch.known))).argmax()[None]
        return {**state, "sum": batch.y.index_select(0, last)[0]}


class BranchesOnData(Good):
    def update(self, state: dict[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        return super().update(state, batch) if float(batch.known.sum()) > 1 else state


class LooksOverTasks(Good):
    """Under vmap a Python list is filled once, in a loop once per task."""

    seen: ClassVar[list[int]] = []

    def init(self, context: dict[str, Tensor]) -> dict[str, Tensor]:
        self.seen.append(1)
        return {**super().init(context), "sum": torch.tensor(float(len(self.seen)), dtype=torch.float64)}


class DrawsGlobally(Good):
    def init(self, context: dict[str, Tensor]) -> dict[str, Tensor]:
        return {**super().init(context), "sum": torch.rand((), dtype=torch.float64)}


class DrawsAndThrowsAway(Good):
    def init(self, context: dict[str, Tensor]) -> dict[str, Tensor]:
        torch.rand(())
        return super().init(context)


class WritesIntoItsState(Good):
    def update(self, state: dict[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        state["sum"] += torch.where(batch.known > 0, batch.y, 0.0).sum()
        return state


class Remembers(Good):
    calls = 0

    def update(self, state: dict[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        self.calls += 1
        return {**super().update(state, batch), "rows": state["rows"] + self.calls}


BROKEN: list[tuple[str, Callable[..., Rule]]] = [
    ("1 step", PredictsTooLate),
    ("1 step", PathWithoutEnd),
    ("2 labels", ReadsEveryLabel),
    ("2 labels", MultipliesByZero),
    ("3 inputs", ReadsEveryInput),
    ("4 padding", CountsPadding),
    ("4 padding", LikesTheLastRow),
    ("5 vmap", BranchesOnData),
    ("5 vmap", LooksOverTasks),
    ("6 pure", DrawsGlobally),
    ("6 pure", DrawsAndThrowsAway),
    ("6 pure", WritesIntoItsState),
    ("6 pure", Remembers),
]


@pytest.mark.parametrize(("law", "broken"), BROKEN, ids=[b.__name__ for _, b in BROKEN])  # type: ignore[attr-defined]
def test_law_catches(law: str, broken: Callable[..., Rule]) -> None:
    with pytest.raises((AssertionError, RuntimeError)):
        LAWS[law](broken(model()), tasks())


@pytest.mark.parametrize("law", LAWS)
def test_law_lets_a_good_rule_pass(law: str) -> None:
    LAWS[law](Good(model()), tasks())


class Transductive(Good):
    """Also uses the inputs of the query rows, which the engine appends without labels."""

    transductive = True

    def update(self, state: dict[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        hidden = batch.mask - batch.known
        return {**super().update(state, batch), "rows": state["rows"] + (batch.x["item"] * hidden).sum()}


@pytest.mark.parametrize("law", LAWS)
def test_a_transductive_rule_may_read_inputs_but_not_labels(law: str) -> None:
    LAWS[law](Transductive(model()), tasks())


def test_set_restores_what_it_changed() -> None:
    tuned = rule("transfer/ridge")
    with tuned.set({"penalty": 7.0}):
        assert tuned.penalty == 7.0
    assert tuned.penalty == 10.0
    with pytest.raises(ZeroDivisionError), tuned.set({"penalty": 7.0}):
        raise ZeroDivisionError
    assert tuned.penalty == 10.0
