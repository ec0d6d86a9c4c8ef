"""Rules for classes against plain loops over the classes of one task: predictions, meta-gradients, and their traps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import array_toys
import pytest
import torch
from array_toys import CLASSES, CLASSIFICATION, FEATURES, REGRESSION
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils._pytree import tree_map
from toys import learned, needs

from metarun.errors import MetarunError
from metarun.model import CLOSED
from metarun.rule import Batch, Rule, Task, chunks
from metarun.tasks import answers, encode, outer

RIDGE = {"prior_init": "isotropic", "learns": "all"}
SETTINGS: list[tuple[str, dict[str, Any]]] = [
    ("meta/protonet", {"scale": 0.7}),
    ("meta/protonet", {"learn_scale": True}),
    ("baseline/nearest_mean", {"centre": False, "unit": False}),
    ("baseline/nearest_mean", {}),
    ("meta/cosine", {}),
    ("meta/matching", {}),
    ("meta/relation", {"hidden": [7]}),
    ("meta/cnp", {"encoder": [7], "width": 3, "decoder": [7]}),
    ("meta/hypernetwork", {"hidden": [7]}),
    ("meta/zeroshot", {}),
    ("meta/ridge", {**RIDGE, "precision": "scalar"}),
    ("meta/ridge", {**RIDGE, "noise": 2.0}),
]
WITHOUT_START = [*SETTINGS, ("baseline/ridge", {})]
FEW_SHOT = [s for s in SETTINGS if s[0] != "meta/zeroshot"]


def named(setting: tuple[str, dict[str, Any]]) -> str:
    return " ".join([setting[0], *(f"{k}={v}" for k, v in setting[1].items())])


def one(seen: Task, i: int) -> Task:
    picked: Task = tree_map(lambda leaf: leaf[i], seen)
    return picked


def embed(made: Rule, x: Tensor) -> Tensor:
    layer = made.model.backbone.layers[0]
    return (x @ layer.weight.T + layer.bias).clamp(min=0)


def network(made: Any, x: Tensor) -> Tensor:
    """Return what a network of one hidden layer makes of x."""
    first, _, last = made
    return (x @ first.weight.T + first.bias).clamp(min=0) @ last.weight.T + last.bias


def unit(x: Tensor) -> Tensor:
    return x / x.square().sum(-1, keepdim=True).sqrt()


def by_distance(made: Any, own: Tensor, every: Tensor, q: Tensor) -> Tensor:
    scale = made.log_scale.exp() if hasattr(made, "log_scale") else made.scale
    if getattr(made, "unit", False):
        own, q = unit(own - made.middle), unit(q - made.middle)
    return torch.stack([-scale * ((row - own.mean(0)) ** 2).sum() for row in q])


def by_cosine(made: Any, own: Tensor, every: Tensor, q: Tensor) -> Tensor:
    return torch.stack([made.log_scale.exp() * unit(row) @ unit(own.mean(0)) for row in q])


def by_attention(made: Any, own: Tensor, every: Tensor, q: Tensor) -> Tensor:
    attention = [torch.softmax(made.log_scale.exp() * unit(torch.cat([own, every])) @ unit(row), 0) for row in q]
    # The rows of the class are there twice, so their share is taken of the rest: every.
    shares = [a[: len(own)].sum() / a[len(own) :].sum() for a in attention]
    return torch.stack(shares).log()


def by_relation(made: Any, own: Tensor, every: Tensor, q: Tensor) -> Tensor:
    return torch.stack([network(made.compare, torch.cat([row, own.mean(0)]))[0] for row in q])


def by_process(made: Any, own: Tensor, every: Tensor, q: Tensor) -> Tensor:
    coded, all_coded = network(made.encoder, own).mean(0), network(made.encoder, every).mean(0)
    return torch.stack([network(made.decoder, torch.cat([row, coded, all_coded]))[0] for row in q])


def by_hypernetwork(made: Any, own: Tensor, every: Tensor, q: Tensor) -> Tensor:
    column = network(made.writer, own.mean(0))
    return torch.stack([row @ column[:-1] + column[-1] for row in q])


BY_CLASS: dict[str, Callable[..., Tensor]] = {
    "meta/protonet": by_distance,
    "baseline/nearest_mean": by_distance,
    "meta/cosine": by_cosine,
    "meta/matching": by_attention,
    "meta/relation": by_relation,
    "meta/cnp": by_process,
    "meta/hypernetwork": by_hypernetwork,
}


def by_ridge(made: Any, s: Tensor, y: Tensor, q: Tensor, classes: list[int]) -> Tensor:
    """Return scores by the dual form, which shares no line with the primal one."""
    s, q = (torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], 1) for x in (s, q))
    penalty = made.log_penalty.exp() if made.log_penalty is not None else 1.0
    spread = torch.linalg.inv(made.root @ made.root.T * made.noise * penalty)
    targets = torch.stack([(y == c).double() for c in classes], 1)
    inner = s @ spread @ s.T + torch.eye(len(s))
    return made.log_scale.exp() * (q @ spread @ s.T @ torch.linalg.solve(inner, targets))


def expected(method: str, made: Any, task: Task) -> Tensor:
    """Return the scores (Q, present classes) of one task by plain loops."""
    classes = torch.nonzero(task.context["classes"])[:, 0].tolist()
    kept = task.support.known > 0
    s, y, q = embed(made, task.support.x[kept]), task.support.y[kept], embed(made, task.query.x)
    if method == "meta/zeroshot":
        columns = [made.map[0].weight @ task.context["descriptions"][c] + made.map[0].bias for c in classes]
        return torch.stack([q @ column[:-1] + column[-1] for column in columns], 1)
    if method == "meta/ridge":
        return by_ridge(made, s, y, q, classes)
    found = {c: BY_CLASS[method](made, s[y == c], s, q) for c in classes if (y == c).any()}
    least = torch.stack(list(found.values())).min(0).values
    return torch.stack([found.get(c, least) for c in classes], 1)


@pytest.mark.parametrize("setting", SETTINGS, ids=named)
def test_scores_and_meta_gradient_are_those_of_a_plain_loop(setting: tuple[str, dict[str, Any]]) -> None:
    method, changes = setting
    made, task = array_toys.rule(method, CLASSIFICATION, changes), array_toys.tasks(number=4, support=9, seed=3)
    out = answers(made, encode(made, task), True)
    losses = []
    for i in range(4):
        this = one(task, i)
        classes = torch.nonzero(this.context["classes"])[:, 0]
        scores, asked = expected(method, made, this), this.query.known > 0
        if method != "meta/ridge":  # whose class without rows has scores of its own
            assert torch.isfinite(scores).all()
        shift = (out[i][:, classes] - scores)[:, :1] if method == "meta/matching" else 0.0
        torch.testing.assert_close(out[i][:, classes], scores + shift, rtol=1e-10, atol=1e-10)
        absent = this.context["classes"] == 0
        assert (out[i][:, absent] == CLOSED).all()
        place = torch.stack([(classes == label).nonzero()[0, 0] for label in this.query.y[asked]])
        losses.append(cross_entropy(scores[asked], place))
    loss, wanted = outer(made, task).mean(), torch.stack(losses).mean()
    torch.testing.assert_close(loss, wanted, rtol=1e-10, atol=1e-12)
    used = 0
    names = learned(made)
    both = [torch.autograd.grad(value, list(names.values()), allow_unused=True) for value in (loss, wanted)]
    for name, found, plain in zip(names, *both, strict=True):
        if plain is None:
            assert found is None or found.abs().max() < 1e-12, name
            continue
        used += int(plain.abs().max() > 1e-4)
        torch.testing.assert_close(found, plain, rtol=1e-8, atol=1e-11, msg=name)
    assert used >= 2, "nothing to compare"


@pytest.mark.parametrize("setting", WITHOUT_START, ids=named)
def test_renaming_classes_renames_scores(setting: tuple[str, dict[str, Any]]) -> None:
    made, task = array_toys.rule(setting[0], CLASSIFICATION, setting[1]), array_toys.tasks(number=4, support=9, seed=3)
    order = torch.tensor([2, 0, 3, 1])
    place = order.argsort()
    context = {**task.context, **{n: task.context[n][:, order] for n in ("classes", "descriptions")}}
    renamed = Task(context, *(part._replace(y=place[part.y]) for part in task[1:]))
    plain, other = (answers(made, encode(made, given), True) for given in (task, renamed))
    torch.testing.assert_close(other, plain[..., order], rtol=1e-10, atol=1e-10)
    assert not torch.allclose(plain, plain[..., order])


@pytest.mark.parametrize("setting", FEW_SHOT, ids=named)
@pytest.mark.parametrize("rows", [0, 7])
def test_without_a_label_every_class_is_as_likely(setting: tuple[str, dict[str, Any]], rows: int) -> None:
    made, task = array_toys.rule(setting[0], CLASSIFICATION, setting[1]), array_toys.tasks()
    nothing = torch.zeros(3, rows, dtype=torch.float64)
    x, y, event = task.support.x[:, :rows], task.support.y[:, :rows], task.support.event
    out = answers(made, encode(made, task._replace(support=Batch(x, y, nothing, nothing, event))), True)
    classes = task.context["classes"][:, None]
    torch.testing.assert_close(out.softmax(-1), (classes / classes.sum(-1, keepdim=True)).expand_as(out))


@pytest.mark.parametrize("kind", [CLASSIFICATION, REGRESSION])
@pytest.mark.parametrize("method", sorted({method for method, _ in FEW_SHOT}))
def test_rows_one_by_one_equal_all_at_once(method: str, kind: str) -> None:
    if kind not in array_toys.kinds(method):
        assert "classes" in needs(method)
        return
    made = array_toys.rule(method, kind, RIDGE if method == "meta/ridge" else {})
    task = one(encode(made, array_toys.tasks(kind, number=4, seed=3)), 3)
    state = made.init(task.context)
    for batch in chunks(task.support, 2):
        state = made.update(state, batch)
    whole = made.predict(made.adapt(task), task.query.x)
    torch.testing.assert_close(made.predict(state, task.query.x), whole, rtol=1e-10, atol=1e-10)
    other = task._replace(support=task.support._replace(x=task.support.x.flip(0)))
    assert not torch.allclose(whole, made.predict(made.adapt(other), task.query.x))


def test_distance_is_squared() -> None:
    """Only then do prototypes decide as a linear classifier, Snell et al., equation 8."""
    made = array_toys.rule("meta/protonet")
    task = one(encode(made, array_toys.tasks(number=4, support=9, seed=3)), 3)
    state, q = made.adapt(task), task.query.x[:, :-1]
    means = made.means(state)  # type: ignore[operator]
    linear = made.log_scale.exp() * (2 * q @ means.T - means.square().sum(-1))  # type: ignore[operator,union-attr]
    kept = (state["rows"] > 0) & (state["classes"] > 0)
    assert kept.sum() > 1
    out = made.predict(state, task.query.x)
    torch.testing.assert_close(out[:, kept].softmax(-1), linear[:, kept].softmax(-1), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("method", ["meta/cosine", "meta/matching"])
def test_scale_of_the_cosine_starts_high_and_is_learned(method: str) -> None:
    made, task = array_toys.rule(method), array_toys.tasks()
    log_scale = learned(made)["log_scale"]
    (slope,) = torch.autograd.grad(outer(made, task).mean(), [log_scale])
    assert slope.abs() > 1e-4
    raw = array_toys.fresh(array_toys.option(array_toys.base(), method), method, array_toys.model(CLASSIFICATION))
    # A cosine alone never says more than e^2 to 1.
    assert learned(raw)["log_scale"].exp() > 5


def test_scale_of_the_distance_is_fixed_unless_asked_for() -> None:
    for learn in (True, False):
        made = array_toys.rule("meta/protonet", CLASSIFICATION, {"learn_scale": learn})
        assert ("log_scale" in learned(made)) == learn


def test_with_one_row_a_class_matching_is_the_cosine() -> None:
    matching, cosine = (array_toys.rule(name, CLASSIFICATION, seed=4) for name in ("meta/matching", "meta/cosine"))
    support = Batch(
        torch.randn(CLASSES, FEATURES, dtype=torch.float64, generator=torch.Generator().manual_seed(1)),
        torch.arange(CLASSES), torch.ones(CLASSES), torch.ones(CLASSES), torch.tensor(0),
    )  # fmt: skip
    task = tree_map(lambda leaf: leaf[None], Task({}, support, support))
    found = [answers(made, encode(made, task), True).log_softmax(-1) for made in (matching, cosine)]
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-9)


def test_nearest_mean_is_centred_on_the_training_rows() -> None:
    made, task = array_toys.rule("baseline/nearest_mean"), array_toys.tasks()
    seen = encode(made, task)
    made.prepare(iter([tree_map(lambda leaf: leaf[:2], seen), tree_map(lambda leaf: leaf[2:], seen)]))
    rows = embed(made, task.support.x[task.support.known > 0])
    torch.testing.assert_close(made.middle, rows.mean(0), rtol=1e-10, atol=1e-10)
    assert not learned(made) or all(name.startswith("model.") for name in learned(made))


def test_zero_shot_says_what_it_lacks() -> None:
    made = array_toys.model(CLASSIFICATION)
    made.descriptions = 0
    with pytest.raises(MetarunError, match="descriptions of classes"):
        array_toys.fresh(array_toys.option(array_toys.base(), "meta/zeroshot"), "meta/zeroshot", made)
