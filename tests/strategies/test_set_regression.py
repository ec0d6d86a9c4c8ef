"""Neural process and hypernetwork for numbers, and the closed forms for classes, against plain computations."""

from __future__ import annotations

from typing import Any

import array_toys
import numpy as np
import pytest
import torch
from array_toys import CLASSES, CLASSIFICATION, REGRESSION
from torch.utils._pytree import tree_map

from metarun.rule import Task
from metarun.strategies.prior import estimate
from metarun.tasks import answers, encode, outer


def network(layers: Any, x: Any) -> Any:
    """Return what layers with ReLU between them make of x, in numpy."""
    weights = [
        (layer.weight.detach().numpy(), layer.bias.detach().numpy()) for layer in layers if hasattr(layer, "bias")
    ]
    for place, (weight, bias) in enumerate(weights):
        x = x @ weight.T + bias
        x = np.maximum(x, 0) if place < len(weights) - 1 else x
    return x


def arrays(made: Any, task: Task, i: int) -> tuple[Any, Any, Any]:
    """Return embeddings and labels of the known support rows of a task, and embeddings of its query."""
    kept = task.support.known[i] > 0
    seen = encode(made, task)
    embedding = [made.model.embedding(batch.x[i]).detach() for batch in seen[1:]]
    return embedding[0][kept].numpy(), task.support.y[i][kept].numpy(), embedding[1].numpy()


@pytest.mark.parametrize("rows", [7, 0])
def test_neural_process_of_numbers(rows: int) -> None:
    made = array_toys.rule("meta/cnp", REGRESSION, {"encoder": [7], "width": 3, "decoder": [7]})
    task = array_toys.tasks(REGRESSION)
    support = task.support._replace(known=task.support.known * (torch.arange(7) < rows))
    task = task._replace(support=support)
    out = answers(made, encode(made, task), True).detach().numpy()
    for i in range(3):
        s, y, q = arrays(made, task, i)
        summed = network(made.encoder, np.column_stack([s, y])).mean(0) if len(s) else np.zeros(3)
        expected = network(made.decoder, np.column_stack([q, np.tile(summed, (len(q), 1))]))
        np.testing.assert_allclose(out[i], expected, rtol=1e-9)


def test_hypernetwork_of_numbers() -> None:
    made = array_toys.rule("meta/hypernetwork", REGRESSION, {"hidden": [7], "encoder": [7], "width": 3})
    task = array_toys.tasks(REGRESSION)
    seen = encode(made, task)
    out = answers(made, seen, True).detach().numpy()
    for i in range(3):
        s, y, q = arrays(made, task, i)
        written = network(made.writer, network(made.encoder, np.column_stack([s, y])).mean(0))
        weight = made.model.head.weight.detach().numpy()[:, 0] + written
        np.testing.assert_allclose(out[i][:, 0], q @ weight[:-1] + weight[-1], rtol=1e-9)
        state = made.adapt(tree_map(lambda leaf, i=i: leaf[i], seen))
        np.testing.assert_allclose(made.commit(state)["head.weight"].detach().numpy()[:, 0], weight, rtol=1e-9)


@pytest.mark.parametrize("method", ["meta/cnp", "meta/hypernetwork"])
def test_meta_gradient_of_numbers_is_that_of_a_loop(method: str) -> None:
    """Finite differences along a random direction of the backbone."""
    made, task, size = array_toys.rule(method, REGRESSION), array_toys.tasks(REGRESSION), 1e-6
    weight = made.model.backbone.layers[0].weight
    (slope,) = torch.autograd.grad(outer(made, task).mean(), [weight])
    along = torch.randn(weight.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    values = []
    for sign in (1, -2):
        with torch.no_grad():
            weight += sign * size * along
        values.append(outer(made, task).mean())
    torch.testing.assert_close((slope * along).sum(), (values[0] - values[1]) / (2 * size), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("method", ["transfer/ridge", "baseline/ridge"])
def test_ridge_of_classes_is_least_squares_on_one_and_zero(method: str) -> None:
    made = array_toys.rule(method, CLASSIFICATION, {"penalty": 2.5, "bias_penalty": 0.7})
    task = array_toys.tasks(number=4, support=9)
    out = answers(made, encode(made, task), True).detach().numpy()
    extra = np.diag(np.sqrt([*[2.5] * array_toys.HIDDEN, 0.7]))
    start = made.model.head.weight.detach().numpy() * (method == "transfer/ridge")
    for i in range(4):
        s, y, q = (np.column_stack([x, np.ones(len(x))]) if x.ndim == 2 else x for x in arrays(made, task, i))
        targets = (y[:, None] == np.arange(CLASSES)).astype(float)
        weight = np.linalg.lstsq(np.vstack([s, extra]), np.vstack([targets, extra @ start]), rcond=None)[0]
        there = task.context["classes"][i].numpy() > 0
        np.testing.assert_allclose(out[i][:, there], (q @ weight)[:, there], rtol=1e-8, atol=1e-10)


def test_prior_of_classes_is_that_of_one_regression_for_each() -> None:
    made = array_toys.rule("baseline/gaussian_prior", CLASSIFICATION)
    numbers = array_toys.rule("baseline/gaussian_prior", REGRESSION)
    numbers.model.backbone.load_state_dict(made.model.backbone.state_dict())
    with torch.no_grad():
        made.model.head.weight.copy_(numbers.model.head.weight.expand(-1, CLASSES))
    task = array_toys.tasks(number=20)
    seen = encode(made, task)
    parts = []
    for i in range(20):
        for c in torch.nonzero(task.context["classes"][i])[:, 0]:
            alone = tree_map(lambda leaf, i=i: leaf[i : i + 1], seen)
            parts.append(alone._replace(support=alone.support._replace(y=(alone.support.y == c).double())))
    found, expected = estimate(made.model, iter([seen])), estimate(numbers.model, iter(parts))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    assert found.covariance.diagonal().max() > 1e-3


def test_scalar_precision_learns_one_number() -> None:
    made = array_toys.rule("meta/ridge", CLASSIFICATION, {"prior_init": "isotropic", "precision": "scalar"})
    own = [name for name, p in made.named_parameters() if p.requires_grad and not name.startswith("model.")]
    assert sorted(own) == ["log_penalty", "log_scale"]
    full = array_toys.rule("meta/ridge", REGRESSION, {"prior_init": "isotropic"})
    own = [name for name, p in full.named_parameters() if p.requires_grad and not name.startswith("model.")]
    assert sorted(own) == ["mean", "root"]
