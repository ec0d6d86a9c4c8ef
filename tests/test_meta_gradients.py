"""Meta-gradients in float64: against one task at a time in plain autograd, and against finite differences.

The reference below knows nothing of metarun: no vmap, no functional_call, no gathered rows, the gradient by
torch.autograd on the whole table.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from toys import ITEMS, RANKS, composed, draws, learned, negatives, rule, shake, tasks
from toys import model as toy_model

from metarun import build
from metarun.rule import Batch, Rule, Task
from metarun.strategies.gradient import HEAD, Gradient
from metarun.strategies.meta.ridge import MetaRidge
from metarun.strategies.meta.update_rule import UpdateRule
from metarun.tasks import encode, outer

Tensors = dict[str, Tensor]
SETTINGS: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
    ("meta/maml", {}, ()),
    ("meta/maml", {"learns": "all", "steps": 3}, ()),
    ("meta/maml", {"learns": "all", "learn_rate": "scalar"}, ("backbone=mf_features",)),
    ("meta/maml", {"first_order": True, "learns": "all"}, ("backbone=mf_features",)),
    ("meta/maml", {"moves": "all", "learns": "all", "steps": 3, "inner_lr": 0.05}, ()),
    ("meta/maml", {"moves": "all", "learns": "all", "steps": 2, "inner_lr": 0.05}, ("backbone=mf_features",)),
    ("meta/maml", {"moves": "all", "learns": "all", "steps": 2, "inner_lr": 0.05}, ("backbone.bias=false",)),
    ("meta/maml", {"moves": "all", "learns": "all", "steps": 2, "inner_lr": 0.05, "first_order": True}, ()),
    ("transfer/finetune", {"anchor": 0.2, "steps": 3}, ()),
    ("transfer/finetune", {"anchor": 0.2, "steps": 3, "moves": "all"}, ()),
    ("meta/maml", {"moves": "both", "learns": "all", "steps": 3, "inner_lr": 0.05}, ("backbone=mf_features",)),
    ("meta/maml", {"moves": "rows", "learns": "all", "steps": 2, "inner_lr": 0.05}, ("backbone=mf_features",)),
    ("transfer/finetune", {"anchor": 0.2, "steps": 3, "moves": "items"}, ()),
    ("meta/update_rule", {"form": "full", "learns": "all"}, ("backbone=mf_features",)),
    ("meta/update_rule", {"form": "full", "theta_init": "identity", "inner_lr": 0.1}, ()),
    ("meta/update_rule", {"form": "diagonal"}, ()),
    ("meta/update_rule", {"form": "low_rank", "rank": 2}, ("backbone=mf_features",)),
    ("meta/update_rule", {"first_order": True}, ()),
    ("meta/ridge", {}, ()),
    ("meta/ridge", {"learns": "all", "noise": 2.0}, ("backbone=mf_features",)),
    ("meta/ridge", {"prior_init": "isotropic"}, ("backbone.bias=false",)),
]
LOSSES = ("bpr", "softmax", "implicit")
SETTINGS += [
    (method, changes, (*RANKS, f"objective.loss={loss}", *more))
    for loss in LOSSES
    for method, changes, more in (
        ("meta/maml", {"learns": "all", "shrink": 2.0, "steps": 3}, ("backbone=mf_features",)),
        ("transfer/finetune", {"anchor": 0.2, "steps": 3}, ("backbone.bias=false",)),
        ("meta/update_rule", {"steps": 2}, ()),
        ("meta/ials", {"unobserved": 0.2}, ()),
        ("meta/ials", {"unobserved": 0.2, "noise": 2.0}, ("backbone=mf_features",)),
    )
]


def named(setting: tuple[str, dict[str, Any], tuple[str, ...]]) -> str:
    return " ".join([setting[0], *(f"{k}={v}" for k, v in setting[1].items()), *setting[2]])


def forward(rule: Rule, moved: Tensors, item: Tensor) -> Tensor:
    """Return the predictions (B,) by plain formulas; `moved` overrides parameters of the model."""
    p = {**dict(rule.model.named_parameters()), **dict(rule.model.named_buffers()), **moved}
    vector = p["backbone.vectors.weight"][item]
    bias = p["backbone.mean"] + p["backbone.item_bias"][item] if "backbone.item_bias" in p else None
    if "backbone.table" in p:
        vector = vector + p["backbone.table"][item] @ p["backbone.to_vector"]
        bias = bias + p["backbone.table"][item] @ p["backbone.to_bias"]
    weight = p["weight"][:, 0]
    if bias is None:
        return vector @ weight
    return vector @ weight[:-1] + weight[-1] + bias


def ranked(objective: Any, chosen: Tensor, others: Tensor) -> Tensor:
    """Return the loss (B,) of scores of the chosen items (B,) and of those that they are ranked against (B, N)."""
    if objective.kind == "bpr":
        return -torch.log(1 / (1 + torch.exp(others - chosen[:, None]))).mean(1)
    if objective.kind == "softmax":
        every = torch.cat([chosen[:, None], others], 1).exp()
        return -torch.log(every[:, 0] / every.sum(1))
    return (1 - chosen) ** 2 + objective.unobserved * (others**2).sum(1)


def start(rule: Rule, features: Tensor) -> Tensor:
    weight = rule.model.head.weight
    if rule.model.head.side is None:
        return weight
    return weight + rule.model.backbone.side * (features @ rule.model.head.side)[:, None]


def error(rule: Rule, moved: Tensors, batch: Batch) -> Tensor:
    kept = batch.known > 0
    out, y = forward(rule, moved, batch.x["item"][kept]), batch.y[kept]
    if "others" in batch.x:
        return (y * ranked(rule.model.objective, out, forward(rule, moved, batch.x["others"][kept]))).mean()
    return (out - y).square().mean()


def by_gradient(rule: Gradient, features: Tensor, batch: Batch) -> Tensors:
    moved = {"weight": start(rule, features)}
    names = {"head": (), "all": ("backbone.",)}.get(rule.moves, ("backbone.vectors.", "backbone.item_bias"))
    moved |= {n: p for n, p in rule.model.named_parameters() if n.startswith(names)}
    kept = {"weight": moved.pop("weight")} if rule.moves == "rows" else {}
    first, n = dict(moved), batch.known.sum()
    scale = {} if kept else {"weight": rule.log_scale[HEAD].exp()}
    scale |= {n: rule.log_scale[n.removeprefix("backbone.").replace(".", "_")].exp() for n in moved if n != "weight"}
    for _ in range(rule.steps):
        wanted = {k: v if v.requires_grad else v.requires_grad_() for k, v in moved.items()}
        found = torch.autograd.grad(error(rule, {**kept, **wanted}, batch), list(wanted.values()), create_graph=True)
        g = dict(zip(wanted, found, strict=True))
        if rule.first_order:
            g = {k: v.detach() for k, v in g.items()}
        if isinstance(rule, UpdateRule):
            change = {
                "full": lambda c: c[0],
                "diagonal": lambda c: c[0][:, None] * torch.eye(len(c[0]), dtype=c[0].dtype),
                "low_rank": lambda c: c[0] @ c[1],
            }[rule.form](list(rule.change))
            g["weight"] = (rule.theta_0 + change) @ g["weight"]
        g = {k: v + 2 * rule.anchor * (moved[k] - first[k]) for k, v in g.items()}
        rate = rule.inner_lr * n / (n + rule.shrink)
        moved = {k: v - rate * scale[k] * g[k] for k, v in moved.items()}
    return {**kept, **moved}


def by_ridge(rule: MetaRidge, features: Tensor, batch: Batch) -> Tensors:
    kept = batch.known > 0
    item, y = batch.x["item"][kept], batch.y[kept]
    trust = torch.ones_like(y)
    if "others" in batch.x:  # every item of the catalogue is a row: what was chosen is 1, the rest is 0
        trust = torch.full((ITEMS,), rule.unobserved, dtype=y.dtype).index_put((item,), y)
        y = torch.zeros(ITEMS, dtype=y.dtype).index_fill(0, item, 1.0)
        item = torch.arange(ITEMS)
    dim = rule.model.head.weight.shape[0]
    # The design by differences of the linear prediction, column by column.
    zero = torch.zeros(dim, 1, dtype=torch.float64)
    offset = forward(rule, {"weight": zero}, item)
    columns = [forward(rule, {"weight": zero + torch.eye(dim)[:, [i]]}, item) - offset for i in range(dim)]
    x = torch.stack(columns, 1)
    mean = start(rule, features)[:, 0] + rule.mean
    precision = rule.noise * (rule.root @ rule.root.T)
    # Posterior mean by the dual form, which shares no line with the primal one: S x' (x S x' + 1 / trust)^-1 residual.
    spread = torch.linalg.inv(precision)
    gain = spread @ x.T @ torch.linalg.inv(x @ spread @ x.T + torch.diag(1 / trust))
    return {"weight": (mean + gain @ (y - offset - x @ mean))[:, None]}


def reference(rule: Rule, task: Task) -> Tensor:
    losses = []
    for t in range(len(task.support.y)):
        s, q = (Batch({n: c[t] for n, c in b.x.items()}, *(leaf[t] for leaf in b[1:])) for b in task[1:])
        adapt = by_ridge if isinstance(rule, MetaRidge) else by_gradient
        moved = adapt(rule, task.context["features"][t], s)  # type: ignore[arg-type,operator]
        losses.append(error(rule, moved, q))
    return torch.stack(losses).mean()


def gradients(rule: Rule, loss: Tensor) -> Tensors:
    names = learned(rule)
    found = torch.autograd.grad(loss, list(names.values()), allow_unused=True)
    return {n: torch.zeros_like(p) if g is None else g for (n, p), g in zip(names.items(), found, strict=True)}


@pytest.mark.parametrize("setting", SETTINGS, ids=named)
def test_meta_gradient_is_that_of_a_plain_loop(setting: tuple[str, dict[str, Any], tuple[str, ...]]) -> None:
    made = rule(setting[0], setting[1], *setting[2])
    task = tasks(4, seed=3, others=negatives(made))
    if setting[0] != "meta/ials":  # which counts the catalogue once, so that its backbone has to stay
        for parameter in made.model.backbone.parameters():
            parameter.requires_grad_(True)  # the reference differentiates through all of it
    loss, expected = outer(made, task).mean(), reference(made, task)
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=1e-12)
    found, wanted = gradients(made, loss), gradients(made, expected)
    assert any(g.abs().max() > 1e-3 for g in wanted.values())
    for name in found:
        torch.testing.assert_close(found[name], wanted[name], rtol=1e-9, atol=1e-11, msg=name)


@pytest.mark.parametrize("setting", [s for s in SETTINGS if not s[1].get("first_order")], ids=named)
def test_meta_gradient_is_that_of_finite_differences(setting: tuple[str, dict[str, Any], tuple[str, ...]]) -> None:
    made, size = rule(setting[0], setting[1], *setting[2]), 1e-5
    task, names = tasks(4, seed=3, others=negatives(made)), learned(made)
    found = gradients(made, outer(made, task).mean())
    for name, parameter in names.items():
        along = torch.randn(parameter.shape, generator=draws(4), dtype=torch.float64)
        values = []
        for sign in (1, -2):
            with torch.no_grad():
                parameter += sign * size * along
            values.append(outer(made, task).mean())
        with torch.no_grad():
            parameter += size * along
        slope = (values[0] - values[1]) / (2 * size)
        torch.testing.assert_close((found[name] * along).sum(), slope, rtol=1e-5, atol=1e-8, msg=name)


def test_first_order_leaves_the_second_derivative_out() -> None:
    task = tasks(4, seed=3)
    full, first = (rule("meta/maml", {"first_order": flag}) for flag in (False, True))
    losses = [outer(made, task).mean() for made in (full, first)]
    torch.testing.assert_close(losses[0], losses[1], rtol=0, atol=0)
    found = [gradients(made, loss)["model.head.weight"] for made, loss in zip((full, first), losses, strict=True)]
    assert (found[0] - found[1]).abs().max() > 1e-3


CLOSED = [(), ("backbone=mf_features",), ("backbone.bias=false",), *((*RANKS, f"objective.loss={x}") for x in LOSSES)]


@pytest.mark.parametrize("overrides", CLOSED)
def test_closed_form_gradient_of_the_head_is_torch_func_grad(overrides: tuple[str, ...]) -> None:
    made = rule("transfer/finetune", {}, *overrides)
    assert isinstance(made, Gradient)
    seen = encode(made, tasks(1, seed=3, others=negatives(made)))
    batch = Batch({}, *(leaf[0] for leaf in seen.support[1:]))._replace(x=seen.support.x[0])
    state = made.init({name: value[0] for name, value in seen.context.items()})
    closed = made.gradient(state, batch)[HEAD]

    class Plain(nn.Module):
        """The same objective, without a closed form of its derivative."""

        rows = staticmethod(made.model.objective.rows)

    made.model.objective = Plain()
    torch.testing.assert_close(closed, made.gradient(state, batch)[HEAD], rtol=1e-12, atol=1e-12)


def test_shrink_and_no_label_at_all() -> None:
    made = rule("meta/maml", {"shrink": 2.0, "steps": 1, "inner_lr": 1.0, "learn_rate": "none"})
    task = tasks(3, seed=3)
    empty = task._replace(support=task.support._replace(known=torch.zeros_like(task.support.known)))
    seen = encode(made, empty)
    for i in range(3):
        context = {name: value[i] for name, value in seen.context.items()}
        batch = Batch(*(leaf[i] for leaf in seen.support))
        state = made.update(made.init(context), batch)
        torch.testing.assert_close(state["theta"][HEAD], made.model.head.start(context), rtol=0, atol=0)


def test_theta_starts_where_it_is_told() -> None:
    for init in ("zeros", "identity", "prior"):
        for form in ("full", "diagonal", "low_rank"):
            node = {"theta_init": init, "form": form}
            model = toy_model()
            cfg = composed()
            option = build.load_option(cfg, "strategy/meta/update_rule")
            option.update(node)
            made = build.make(option, "strategy.meta", model=model).double()
            assert made.learned().abs().max() == 0
            assert made.regulariser() == 0
            expected = {"zeros": torch.zeros(5, 5), "identity": torch.eye(5), "prior": torch.eye(5)}[init]
            torch.testing.assert_close(made.theta(), expected.double())


def test_pull_is_the_mean_squared_change() -> None:
    made = rule("meta/update_rule", {"pull": 0.5})
    assert isinstance(made, UpdateRule)
    change = made.change[0].detach()
    torch.testing.assert_close(made.regulariser().detach(), 0.5 * (change**2).sum() / change.numel())
    shake(made, 1.0, seed=2)
    assert made.regulariser() > 0
