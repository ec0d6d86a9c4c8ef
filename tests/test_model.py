"""Model, backbones, head and objective by hand."""

from __future__ import annotations

import pytest
import torch
from toys import ITEMS, learned, model, spec

from metarun.backbones.mf import MatrixFactorisation
from metarun.backbones.mf_features import FeatureFactorisation
from metarun.heads.linear import Linear
from metarun.model import Spec, masked_mean, readable
from metarun.objectives.squared import Squared


def test_loss_is_the_mean_over_known_rows() -> None:
    made = model()
    out = torch.tensor([[1.0], [2.0], [5.0]])
    y, known = torch.tensor([2.0, 4.0, torch.nan]), torch.tensor([1.0, 1.0, 0.0])
    assert made.loss(out, y, known) == (1 + 4) / 2
    assert made.loss(out, y, torch.zeros(3)) == 0


def test_a_hidden_nan_stays_out_of_the_gradient() -> None:
    out = torch.tensor([[1.0], [2.0]], requires_grad=True)
    model().loss(out, torch.tensor([3.0, torch.nan]), torch.tensor([1.0, 0.0])).backward()
    assert out.grad is not None
    assert out.grad.tolist() == [[-4.0], [0.0]]


def test_masked_mean_and_readable() -> None:
    assert masked_mean(torch.tensor([1.0, 3.0, 100.0]), torch.tensor([1.0, 1.0, 0.0])) == 2
    assert masked_mean(torch.ones(2), torch.zeros(2)) == 0
    y = torch.tensor([[1, 2], [3, 4]])
    assert readable(y, torch.tensor([0.0, 1.0])).tolist() == [[0, 0], [3, 4]]


def test_squared_error_and_its_derivative() -> None:
    objective, y = Squared(), torch.tensor([1.0, -1.0])
    out = torch.tensor([[3.0], [0.5]], requires_grad=True)
    rows = objective.rows(out, y)
    assert rows.tolist() == [4.0, 2.25]
    rows.sum().backward()
    assert out.grad is not None
    assert objective.residual(out, y).tolist() == out.grad.tolist()


def test_prediction_of_matrix_factorisation_by_hand() -> None:
    backbone = MatrixFactorisation(2, True, spec=Spec({"item": 3}))
    head = Linear(backbone=backbone, spec=Spec({"item": 3}))
    with torch.no_grad():
        backbone.mean.fill_(3.0)
        backbone.vectors.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]]))
        backbone.item_bias.copy_(torch.tensor([0.1, 0.2, 0.3]))
        head.weight.copy_(torch.tensor([[0.5], [-1.0], [0.25]]))
    features = backbone({"item": torch.tensor([0, 1, 2])})
    torch.testing.assert_close(features[1], torch.tensor([0.0, 2.0, 1.0, 3.2]))
    out = head(head.start({}), features)
    torch.testing.assert_close(out[:, 0], torch.tensor([3.1 + 0.5 + 0.25, 3.2 - 2 + 0.25, 3.3 - 0.5 + 0.25]))


def test_plain_product_has_no_bias_anywhere() -> None:
    backbone = MatrixFactorisation(2, False, spec=Spec({"item": 3}))
    head = Linear(backbone=backbone, spec=Spec({"item": 3}))
    assert [name for name, _ in backbone.named_parameters()] == ["vectors.weight"]
    assert head.weight.shape == (2, 1)
    item, weight = torch.tensor([2, 0]), torch.tensor([[1.0], [2.0]])
    expected = backbone.vectors.weight[item] @ weight
    torch.testing.assert_close(head(weight, backbone({"item": item})), expected)


def test_side_information_moves_item_and_start() -> None:
    made = model("backbone=mf_features", "backbone.side=0.5")
    backbone, head, table = made.backbone, made.head, 0.5 * spec().tables["item"].double()
    assert isinstance(backbone, FeatureFactorisation)
    item = torch.tensor([3, ITEMS - 1])
    vector = backbone.vectors.weight[item] + table[item] @ backbone.to_vector
    offset = 0.5 + backbone.item_bias[item] + table[item] @ backbone.to_bias
    torch.testing.assert_close(made.features({"item": item})[:, :4], vector)
    torch.testing.assert_close(made.features({"item": item})[:, 5], offset)
    context = {"features": torch.tensor([1.0, -1.0, 2.0], dtype=torch.float64)}
    side = 0.5 * (head.side[0] - head.side[1] + 2 * head.side[2])
    torch.testing.assert_close(head.start(context), head.weight + side[:, None])
    many = {"features": context["features"].expand(4, 3)}
    torch.testing.assert_close(head.start(many), head.start(context).expand(4, 5, 1))


@pytest.mark.parametrize("backbone", ["mf", "mf_features"])
def test_an_unseen_item_has_what_is_known_about_it(backbone: str) -> None:
    """Items that differ in nothing but side information differ in prediction only with mf_features."""
    made = model(f"backbone={backbone}")
    with torch.no_grad():
        made.backbone.vectors.weight.zero_()
        made.backbone.item_bias.zero_()
    out = made.features({"item": torch.tensor([0, 1])})
    assert torch.equal(out[0], out[1]) == (backbone == "mf")


def test_the_same_seed_gives_the_same_model() -> None:
    torch.manual_seed(1)
    one = learned(model())
    torch.manual_seed(2)
    for name, value in learned(model()).items():
        assert torch.equal(value, one[name])
