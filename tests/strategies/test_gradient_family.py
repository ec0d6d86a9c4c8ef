"""Rules that move a whole backbone of arrays, in float64: against one task at a time in plain autograd.

The reference knows nothing of metarun: no vmap, no functional_call, no closed classes (it leaves their columns out), no
masks (it leaves the rows out); networks, normalisation and updates are written out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from array_toys import CLASSIFICATION, REGRESSION, rule, tasks
from torch import Tensor
from torch.nn.functional import cross_entropy
from toys import draws, learned

from metarun.rule import Rule, Task
from metarun.strategies.gradient import Gradient
from metarun.strategies.meta.curvature import Curvature
from metarun.strategies.meta.maml_plus_plus import MAMLPlusPlus
from metarun.strategies.meta.reptile import Reptile
from metarun.tasks import outer

Tensors = dict[str, Tensor]
Setting = tuple[str, str, dict[str, Any], str]
NORMS = ("none", "group", "support", "query")
ALL = {"moves": "all", "learns": "all", "steps": 2, "inner_lr": 0.1, "shrink": 0.0}
EARLY, LATE = 0.05, 0.5  # of a MAML++ whose multi-step loss ends at .1 and whose first-order part at .3
SETTINGS: list[Setting] = [
    *(("meta/maml", CLASSIFICATION, ALL, norm) for norm in NORMS),
    *(("meta/maml", REGRESSION, {**ALL, "learn_rate": "scalar", "shrink": 2.0}, norm) for norm in ("none", "support")),
    *(("meta/fomaml", CLASSIFICATION, {"steps": 2}, norm) for norm in ("none", "support")),
    *(("meta/anil", CLASSIFICATION, {"steps": 3}, norm) for norm in NORMS),
    *(("meta/metasgd", CLASSIFICATION, {"steps": 2}, norm) for norm in ("none", "query")),
    ("meta/metasgd", REGRESSION, {"steps": 1}, "group"),
    *(("meta/curvature", CLASSIFICATION, {"steps": 2, "inner_lr": 0.1}, norm) for norm in ("none", "support")),
    ("meta/curvature", CLASSIFICATION, {"steps": 2, "inner_lr": 0.1, "first_order": True}, "none"),
    *(("meta/mamlplusplus", CLASSIFICATION, {"steps": 3, "progress": p}, "support") for p in (EARLY, LATE)),
    ("meta/mamlplusplus", REGRESSION, {"steps": 3, "progress": 0.0}, "none"),
    *(("meta/reptile", CLASSIFICATION, {"steps": 3, "inner_lr": 0.1}, norm) for norm in NORMS),
]


def named(setting: Setting) -> str:
    return " ".join([*setting[:2], *(f"{k}={v}" for k, v in setting[2].items()), setting[3]])


def made(setting: Setting) -> Gradient:
    method, kind, changes, norm = setting
    found = rule(method, kind, {k: v for k, v in changes.items() if k != "progress"}, norm)
    assert isinstance(found, Gradient)
    found.progress = changes.get("progress", 1.0)
    return found


class Plain:
    """One task of a rule, by plain formulas, with only the rows and classes that there are."""

    def __init__(self, rule: Gradient, task: Task, t: int) -> None:
        self.rule, self.norm = rule, rule.model.backbone.norm
        self.support, self.query = (
            (b.x[t][b.known[t] > 0], b.y[t][b.known[t] > 0], b.x[t][b.mask[t] > 0]) for b in task[1:]
        )
        self.asked_known = task.query.known[t][task.query.mask[t] > 0] > 0
        classes = task.context.get("classes")
        self.classes = None if classes is None else classes[t].nonzero()[:, 0]
        self.p = {name.removeprefix("model."): value for name, value in rule.named_parameters() if "model." in name}

    def forward(self, moved: Tensors, x: Tensor, beside: Tensor) -> Tensor:
        """Return outputs (B, C); beside: the rows whose statistics normalise, where rows do."""
        p = {**self.p, **moved}
        hidden, others = ((r @ p["backbone.layers.0.weight"].T + p["backbone.layers.0.bias"]) for r in (x, beside))
        if self.norm != "none":
            axis, of = (1, hidden) if self.norm == "group" else (0, others)
            mean = of.mean(axis, keepdim=True)
            hidden = (hidden - mean) / (of.var(axis, correction=0, keepdim=True) + 1e-5).sqrt()
            hidden = hidden * p["backbone.norms.0.weight"] + p["backbone.norms.0.bias"]
        return torch.relu(hidden) @ p["head.weight"][:-1] + p["head.weight"][-1]

    def loss(self, out: Tensor, y: Tensor) -> Tensor:
        if self.classes is None:
            return (out[:, 0] - y).square().mean()
        return cross_entropy(out[:, self.classes], torch.searchsorted(self.classes, y))

    def inner(self, moved: Tensors) -> Tensor:
        x, y, _ = self.support
        return self.loss(self.forward(moved, x, x), y)

    def outer(self, moved: Tensors) -> Tensor:
        _, y, asked = self.query
        out = self.forward(moved, asked, asked if self.norm == "query" else self.support[0])
        return self.loss(out[self.asked_known], y)

    def path(self, loss: Callable[[Tensors], Tensor], first_order: bool = False) -> list[Tensors]:
        """Return what has moved after each step down a loss."""
        rule, names = self.rule, list(self.p) if self.rule.moves == "all" else ["head.weight"]
        moved = {name: self.p[name] for name in names}
        wanted = {name: v if v.requires_grad else v.detach().requires_grad_() for name, v in moved.items()}
        rows, states = torch.tensor(len(self.support[1])).double(), []
        for step in range(rule.steps):
            found = torch.autograd.grad(loss(wanted), list(wanted.values()), create_graph=True)
            g = dict(zip(names, found, strict=True))
            if first_order or rule.first_order:
                g = {name: value.detach() for name, value in g.items()}
            if isinstance(rule, Curvature):
                g = {name: self.curved(name, value) for name, value in g.items()}
            share = rows / (rows + rule.shrink)
            wanted = {name: wanted[name] - share * self.rate(name, step) * g[name] for name in names}
            states.append(wanted)
        return states

    def rate(self, name: str, step: int) -> Any:
        short = "head" if name == "head.weight" else name.removeprefix("backbone.").replace(".", "_")
        if self.rule.learn_rate in ("weight", "step"):
            return self.rule.rates[short] if self.rule.learn_rate == "weight" else self.rule.rates[short][step]
        return self.rule.inner_lr * self.rule.log_scale[short].exp()

    def curved(self, name: str, g: Tensor) -> Tensor:
        short = "head" if name == "head.weight" else name.removeprefix("backbone.").replace(".", "_")
        assert isinstance(self.rule, Curvature)
        maps = list(self.rule.factors[short].parameters())
        return maps[0] * g if g.ndim == 1 else maps[0] @ g @ maps[1].T

    def loss_of_rule(self) -> Tensor:
        """Return the outer loss of the rule's method."""
        if isinstance(self.rule, MAMLPlusPlus):
            early = self.rule.progress < 0.3
            losses = [self.outer(state) for state in self.path(self.inner, first_order=early)]
            left = max(0.0, 1 - 10 * self.rule.progress) / len(losses)
            return left * sum(losses[:-1], torch.zeros(())) + (1 - left * (len(losses) - 1)) * losses[-1]
        return self.outer(self.path(self.inner)[-1])


def gradients(rule: Rule, loss: Tensor) -> Tensors:
    names = learned(rule)
    found = torch.autograd.grad(loss, list(names.values()), allow_unused=True)
    return {n: torch.zeros_like(p) if g is None else g for (n, p), g in zip(names.items(), found, strict=True)}


def agree(rule: Gradient, task: Task) -> None:
    """Raise where a rule's meta-loss or its gradient is not the reference's."""
    plain = torch.stack([Plain(rule, task, t).loss_of_rule() for t in range(len(task.support.y))]).mean()
    loss = outer(rule, task).mean()
    torch.testing.assert_close(loss, plain, rtol=1e-10, atol=1e-12)
    found, wanted = gradients(rule, loss), gradients(rule, plain)
    # A normalised layer's own bias changes nothing.
    assert all(g.abs().max() > 1e-5 for n, g in wanted.items() if "layers.0.bias" not in n.replace("_", "."))
    # Normalised by the one row that is known, everything is large, and so is what cancels in such a bias.
    near = 1e-9 * max(1.0, float(loss.detach()))
    for name in found:
        torch.testing.assert_close(found[name], wanted[name], rtol=1e-8, atol=near, msg=lambda m, n=name: f"{n}: {m}")


def slopes_agree(rule: Gradient, task: Task, size: float = 1e-5) -> None:
    """Raise where the meta-gradient is not that of central differences: on two weights of everything learned."""
    # Normalised by the one row that is known, everything is a thousand times as large, and so is what differences lose.
    task = task._replace(support=task.support._replace(known=task.support.mask))
    found = gradients(rule, outer(rule, task).mean())
    for name, parameter in learned(rule).items():
        for place in torch.randperm(parameter.numel(), generator=draws(4))[:2].tolist():
            flat, values = parameter.data.reshape(-1), []
            for sign in (1, -2):
                flat[place] += sign * size
                values.append(outer(rule, task).mean().detach())
            flat[place] += size
            slope = (values[0] - values[1]) / (2 * size)
            torch.testing.assert_close(
                found[name].reshape(-1)[place], slope, rtol=1e-4, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}"
            )


@pytest.mark.parametrize("setting", [s for s in SETTINGS if s[0] != "meta/reptile"], ids=named)
def test_meta_gradient_is_that_of_a_plain_loop(setting: Setting) -> None:
    agree(made(setting), tasks(setting[1], 4, seed=3))


def exact(setting: Setting) -> bool:
    """Whether the outer gradient is that of the outer loss."""
    early = setting[0] == "meta/mamlplusplus" and setting[2]["progress"] < 0.3
    first = early or setting[2].get("first_order", False)
    return setting[0] not in ("meta/reptile", "meta/fomaml") and not first


@pytest.mark.parametrize("setting", [s for s in SETTINGS if exact(s)], ids=named)
def test_meta_gradient_is_that_of_finite_differences(setting: Setting) -> None:
    slopes_agree(made(setting), tasks(setting[1], 3, seed=3))


@pytest.mark.parametrize("setting", [s for s in SETTINGS if s[0] == "meta/reptile"], ids=named)
def test_reptile_moves_the_start_to_where_all_rows_lead(setting: Setting) -> None:
    found, task = made(setting), tasks(setting[1], 4, seed=3)
    assert isinstance(found, Reptile)
    gradient, wanted = gradients(found, outer(found, task).mean()), {}
    for t in range(4):
        plain = Plain(found, task, t)
        x, y = (
            torch.cat([plain.support[0], plain.query[2][plain.asked_known]]),
            torch.cat([plain.support[1], plain.query[1]]),
        )
        phi = plain.path(lambda moved, p=plain, x=x, y=y: p.loss(p.forward(moved, x, x), y))[-1]  # type: ignore[misc]
        for name, value in phi.items():
            wanted[name] = wanted.get(name, 0) + (plain.p[name] - value).detach() / 4
    assert {f"model.{name}" for name in wanted} == set(gradient)
    for name, value in wanted.items():
        assert value.abs().max() > 1e-4 or name.endswith("layers.0.bias")
        torch.testing.assert_close(gradient[f"model.{name}"], value, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("norm", ["none", "support"])
def test_fomaml_is_maml_with_constant_gradients_and_no_check_takes_it_for_maml(norm: str) -> None:
    task = tasks(CLASSIFICATION, 3, seed=3)
    first, full = (made(("meta/maml", CLASSIFICATION, {**ALL, "first_order": flag}, norm)) for flag in (True, False))
    losses = [outer(found, task).mean() for found in (first, full)]
    torch.testing.assert_close(losses[0], losses[1], rtol=0, atol=0)
    name = "model.backbone.layers.0.weight"
    a, b = (gradients(found, loss)[name] for found, loss in zip((first, full), losses, strict=True))
    assert (a - b).abs().max() > 1e-3
    with pytest.raises(AssertionError):
        slopes_agree(first, task)
    first.first_order = False  # what the reference goes by; the rule itself still leaves the second derivative out

    class Forgetful(type(first)):  # type: ignore[misc]
        cuts = True

    first.__class__ = Forgetful
    with pytest.raises(AssertionError):
        agree(first, task)
