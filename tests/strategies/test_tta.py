"""What unlabelled rows do to scales and shifts, by plain loops in float64; which rows a stream shows without one."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from metarun.backbones.mlp import MLP
from metarun.backbones.plain import Plain
from metarun.events import DRIFT
from metarun.heads.linear import Linear
from metarun.model import Model, Spec
from metarun.objectives.cross_entropy import CrossEntropy
from metarun.rule import Batch, Rule, State
from metarun.strategies.adaptive.tta import SCALE, Tent
from metarun.strategies.gradient import Gradient
from metarun.strategies.rates import HEAD

FEATURES, CLASSES, RATE, SLOW, ANCHOR, ROWS = 4, 3, 0.3, 0.2, 0.5, 60
AFFINE = ["norms.0.weight", "norms.0.bias"]


@pytest.fixture
def exact() -> Any:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def model(norm: str | None) -> Model:
    torch.manual_seed(0)
    spec = Spec(shape=(FEATURES,), outputs=CLASSES, classes=CLASSES)
    backbone: Any = Plain(spec=spec) if norm is None else MLP([6], norm, spec=spec)
    made = Model(backbone, Linear(backbone=backbone, spec=spec), CrossEntropy(), spec)
    nn.init.normal_(made.head.weight, std=0.5)
    return made


def rule(norm: str | None, **changes: Any) -> Tent:
    own = functools.partial(Gradient, inner_lr=RATE)
    return Tent(model=model(norm), rule=own, **({"lr": SLOW, "anchor": ANCHOR} | changes))


def rows(known: float) -> tuple[Tensor, Tensor, Tensor]:
    draws = torch.Generator().manual_seed(1)
    x = torch.randn(ROWS, FEATURES, generator=draws)
    y = (x @ torch.randn(FEATURES, CLASSES, generator=draws)).argmax(1)
    return x, y, (torch.rand(ROWS, generator=draws) < known).to(x)


def follow(made: Rule, known: float, alarms: list[int], chunk: int) -> tuple[list[Tensor], list[Any]]:
    """Follow rows of which some have no label, and each chunk has a row behind it that does not exist."""
    x, y, shown = rows(known)
    if made.sees == "features":
        x = made.model.features(x).detach()
    y, outs, states = torch.where(shown > 0, y, -1), [], [made.init({})]
    with torch.no_grad():
        for first in range(0, ROWS, chunk):
            part, one = slice(first, first + chunk), torch.ones(1)
            outs.append(made.predict(states[-1], x[part]))
            event = torch.tensor(DRIFT if set(alarms) & set(range(first, first + chunk)) else 0)
            padded = torch.cat([x[part], 7 * torch.ones_like(x[:1])]), torch.cat([y[part], torch.tensor([-1])])
            mask = torch.cat([torch.ones(chunk), 0 * one])
            states.append(made.update(states[-1], Batch(*padded, mask, torch.cat([shown[part], 0 * one]), event)))
    return outs, states


def scores(norm: str | None, x: Tensor, affine: list[Tensor], weight: Tensor, backbone: nn.Module) -> Tensor:
    """Return what a network of one hidden layer, or none, says, written out."""
    if norm is None:
        return (torch.cat([x, torch.ones(len(x), 1)], 1) * affine[0]) @ weight
    layer = backbone.get_submodule("layers.0")
    inner = x @ layer.weight.T + layer.bias
    over = 1 if norm == "group" else 0
    inner = (inner - inner.mean(over, keepdim=True)) / (inner.var(over, keepdim=True, unbiased=False) + 1e-5).sqrt()
    inner = torch.relu(inner * affine[0] + affine[1])
    return torch.cat([inner, torch.ones(len(x), 1)], 1) @ weight


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("chunk", [4, 10])
@pytest.mark.parametrize("norm", ["group", "query", None])
def test_rows_without_a_label_make_themselves_certain(norm: str | None, chunk: int) -> None:
    made, alarms = rule(norm), [20, 44]
    outs, states = follow(made, 0.5, alarms, chunk)
    x, y, shown = rows(0.5)
    backbone, weight = made.model.backbone, made.model.head.weight.detach()
    start = [p.detach() for n, p in backbone.named_parameters() if n in AFFINE] or [torch.ones(FEATURES + 1)]
    affine, resets = start, 0
    for first in range(0, ROWS, chunk):
        part = slice(first, first + chunk)
        torch.testing.assert_close(outs[first // chunk], scores(norm, x[part], affine, weight, backbone).detach())
        if set(alarms) & set(range(first, first + chunk)):
            affine, resets = start, resets + 1
        labelled, hidden = torch.nonzero(shown[part])[:, 0], torch.nonzero(shown[part] == 0)[:, 0]
        if len(labelled):
            leaf = weight.clone().requires_grad_()
            out = scores(norm, x[part], affine, leaf, backbone)[labelled]
            nn.functional.cross_entropy(out, y[part][labelled]).backward()
            assert leaf.grad is not None
            weight = weight - RATE * leaf.grad
        if len(hidden):
            leaves = [value.detach().clone().requires_grad_() for value in affine]
            likely = scores(norm, x[part], leaves, weight, backbone)[hidden].softmax(1)
            slopes = torch.autograd.grad(-(likely * likely.log()).sum(1).mean(), leaves)
            moved = [value.detach() - SLOW * slope for value, slope in zip(leaves, slopes, strict=True)]
            # The point nearest to `moved` under the penalty lr * anchor / 2 * |theta - start|^2.
            tie = SLOW * ANCHOR
            affine = [(value + tie * first) / (1 + tie) for value, first in zip(moved, start, strict=True)]
        state = states[first // chunk + 1]
        torch.testing.assert_close(state["rule"]["theta"][HEAD], weight)
        torch.testing.assert_close(list(state["affine"].values()), affine)
    assert int(states[-1]["resets"]) == resets == 2


@pytest.mark.usefixtures("exact")
def test_certainty_grows_without_labels_and_the_head_stays() -> None:
    made = rule("group", anchor=0.0, lr=0.05)
    states, x = follow(made, 0.0, [], 10)[1], rows(0.0)[0]
    likely = torch.stack([made.predict(state, x).detach().softmax(1) for state in states])
    entropy = -(likely * likely.log()).sum(-1).mean(-1)
    assert entropy[-1] < entropy[0]
    torch.testing.assert_close(states[-1]["rule"]["theta"][HEAD], made.model.head.weight.detach())
    assert bool(made.told(states[-1])["away"] > 0)


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("norm", ["group", None])
def test_where_every_label_comes_it_is_the_rule_itself(norm: str | None) -> None:
    made = rule(norm)
    found, states = follow(made, 1.0, [30], 10)
    own = Gradient(model=made.model, inner_lr=RATE)
    x, y, _ = rows(1.0)
    x, state, expected = made.model.features(x).detach(), own.init({}), []
    for first in range(0, ROWS, 10):
        part, ones = slice(first, first + 10), torch.ones(10)
        expected.append(own.predict(state, x[part]).detach())
        with torch.no_grad():
            state = own.update(state, Batch(x[part], y[part], ones, ones, torch.tensor(0)))
    torch.testing.assert_close(torch.cat(found), torch.cat(expected))
    assert int(states[-1]["steps"]) == 0


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("norm", ["group", None])
def test_what_is_written_back_predicts_the_same(norm: str | None) -> None:
    made = rule(norm)
    state = follow(made, 0.5, [], 10)[1][-1]
    x = rows(1.0)[0]
    out = made.predict(state, made.model.features(x) if norm is None else x).detach()
    made.model.load_state_dict(made.model.state_dict() | made.commit(state))
    torch.testing.assert_close(made.model.head(made.model.head.weight, made.model.features(x)).detach(), out)
    assert (SCALE in state["affine"]) == (norm is None)


class Noting(Gradient):
    """Keeps the rows that it is shown."""

    listens = True
    transductive = True
    shown: list[Batch]

    def update(self, state: State, batch: Batch) -> State:
        self.shown.append(batch)
        return super().update(state, batch)


@pytest.mark.parametrize(("delay", "chunk"), [(0, 5), (7, 5), (7, 1), (None, 5)])
def test_a_stream_shows_a_new_row_without_its_label_and_the_label_once_when_it_comes(
    delay: int | None, chunk: int, tmp_path: Path
) -> None:
    from metarun import build, config
    from metarun.events import Events
    from metarun.stages.loop import fit
    from metarun.stages.stream import Follow, Plan

    cfg = config.compose(["+experiment=streams_compare", "dataset.rows=60", "dataset.opening=0", "evaluate.against=[]"])
    data = build.dataset(cfg)
    data.found.y[::3] = -1  # labels that never come
    made = Noting(model=build.model(cfg, data.spec), inner_lr=0.1)
    made.shown = []
    stage = Follow(made, made.init({}), data, Plan(0, 60, chunk, 5), delay, Events([]), tmp_path, "online/sgd")
    fit(stage, stage.plan.batch, len(stage.plan), tmp_path, "x", trainer=cfg.trainer, save_every=10**9)
    x, y = data.whole
    there = {row for row in range(60) if int(y[row]) >= 0}
    labelled: list[int] = []
    for step, batch in enumerate(made.shown):
        row_of = [int((x - features[:-1]).abs().sum(1).argmin()) for features in batch.x]
        now = set(range(step * chunk, (step + 1) * chunk))
        told = [row for row, known in zip(row_of, batch.known, strict=True) if known]
        new = [r for r, here, known in zip(row_of, batch.mask, batch.known, strict=True) if here and not known]
        assert new == sorted(now - there if delay == 0 else now)
        for row, known, label in zip(row_of, batch.known, batch.y, strict=True):
            assert not known or label == y[row]
        labelled += told
    assert labelled == ([] if delay is None else [row for row in range(60 - delay) if row in there])
