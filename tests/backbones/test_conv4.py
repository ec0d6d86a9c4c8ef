"""The image backbones against plain layers in the order of the papers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

import metarun.backbones.conv4 as conv4_module
from metarun.backbones.cnn_small import SmallCNN
from metarun.backbones.conv4 import Conv4
from metarun.backbones.encoder import Encoder
from metarun.backbones.normalisation import EPSILON
from metarun.errors import MetarunError
from metarun.model import Spec


def conv4(shape: tuple[int, ...], down: str, norm: str, channels: int = 8) -> Conv4:
    torch.manual_seed(0)
    made = Conv4(channels, down, norm, spec=Spec(shape=shape)).double()
    with torch.no_grad():
        for part in [block.norm for block in made.blocks]:
            for parameter in part.parameters():
                parameter.add_(torch.randn_like(parameter))  # some scales fall
    return made


def images(rows: int, *shape: int) -> Tensor:
    return torch.rand(rows, *shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def plain(made: Conv4, x: Tensor, norm: str) -> Tensor:
    """Return the same from torch's layers, pooled last as it is written everywhere."""
    for block in made.blocks:
        conv, part = block.conv, block.norm
        x = nn.functional.conv2d(x, conv.weight, conv.bias, 2 if block.down == "stride" else 1, 1)
        if norm == "query":
            x = nn.functional.batch_norm(x, None, None, part.weight, part.bias, True, eps=EPSILON)
        elif norm == "group":
            x = nn.functional.group_norm(x, 8, part.weight, part.bias, EPSILON)
        x = x.relu()
        if block.down == "pool" and min(x.shape[2:]) > 1:
            x = nn.functional.max_pool2d(x, 2)
    return torch.cat([x.flatten(1), x.new_ones(len(x), 1)], 1)


@pytest.mark.parametrize("down", ["pool", "stride"])
@pytest.mark.parametrize("norm", ["query", "group", "none"])
def test_it_is_the_network_of_the_papers(down: str, norm: str) -> None:
    made, x = conv4((1, 12, 12), down, norm), images(6, 1, 12, 12)
    torch.testing.assert_close(made(x), plain(made, x, norm))
    gradients = [
        torch.autograd.grad(out.square().sum(), list(made.parameters())) for out in (made(x), plain(made, x, norm))
    ]
    for found, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("shape", "down", "features"),
    [
        ((1, 28, 28), "pool", 64), ((1, 28, 28), "stride", 256), ((3, 84, 84), "pool", 1600),
        ((3, 84, 84), "stride", 2304), ((1, 8, 8), "pool", 64), ((1, 8, 8), "stride", 64), ((1, 5, 9), "pool", 128),
    ],
)  # fmt: skip
def test_widths(shape: tuple[int, ...], down: str, features: int) -> None:
    made = Conv4(64, down, "none", spec=Spec(shape=shape))
    assert made.dim == features
    assert made.out_features == features + 1
    out = made(torch.randint(256, (2, *shape), dtype=torch.uint8))
    assert out.shape == (2, features + 1)
    assert torch.equal(out[:, -1], torch.ones(2))


@pytest.mark.parametrize("down", ["pool", "stride"])
def test_tasks_side_by_side_are_tasks_alone(down: str) -> None:
    made, x = conv4((1, 8, 8), down, "support"), images(10, 1, 8, 8)
    counted = torch.tensor([[1, 1, 0, 1, 0], [1, 0, 0, 1, 1]])
    both = made(x, counted)
    torch.testing.assert_close(both[:5], made(x[:5], counted[0]))
    torch.testing.assert_close(both[5:], made(x[5:], counted[1]))
    changed = x.clone()
    changed[2] = 0
    torch.testing.assert_close(made(changed, counted)[[0, 1, 3, 4]], both[[0, 1, 3, 4]])


@pytest.mark.parametrize("channels", [1, 3])
def test_maps_are_stored_channels_last_whatever_the_order_of_moved_weights(
    channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, seen = conv4((channels, 8, 8), "pool", "query"), []
    monkeypatch.setattr(conv4_module, "max_pool2d", lambda x, size: seen.append(x) or nn.functional.max_pool2d(x, size))
    moved = {name: value.detach().clone().contiguous() for name, value in made.named_parameters()}
    functional_call(made, moved, (images(4, channels, 8, 8),))
    assert len(seen) == 3
    assert all(x.is_contiguous(memory_format=torch.channels_last) for x in seen)


@pytest.mark.parametrize("made", [
    conv4((1, 8, 8), "pool", "support", 4),
    SmallCNN(4, 6, "query", spec=Spec(shape=(1, 8, 8))).double(),
])  # fmt: skip
def test_weights_of_their_own_under_vmap(made: Encoder) -> None:
    x, counted = images(10, 1, 8, 8).reshape(2, 5, 1, 8, 8), torch.tensor([[1, 1, 0, 1, 0], [1, 0, 0, 1, 1]])
    weights = {name: torch.stack([p, 1.1 * p]).detach() for name, p in made.named_parameters()}
    found = vmap(lambda w, x, c: functional_call(made, w, (x, c)))(weights, x, counted)
    for task in range(2):
        own = {name: value[task] for name, value in weights.items()}
        torch.testing.assert_close(found[task], functional_call(made, own, (x[task], counted[task])))


def test_the_small_network_is_its_layers() -> None:
    torch.manual_seed(0)
    made = SmallCNN(32, 64, "none", spec=Spec(shape=(1, 28, 28)))
    plain = nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(5408, 64), nn.ReLU())
    plain.load_state_dict(dict(zip(plain.state_dict(), made.state_dict().values(), strict=True)))
    x = images(3, 1, 28, 28).float()
    torch.testing.assert_close(made(x)[:, :-1], plain(x))


def test_what_is_no_image() -> None:
    with pytest.raises(MetarunError, match=r"backbone=conv4 reads images .* arrays of \(7,\): choose"):
        Conv4(8, "pool", "none", spec=Spec(shape=(7,)))
    with pytest.raises(MetarunError, match="which the dataset does not offer"):
        SmallCNN(8, 8, "none", spec=Spec())
    with pytest.raises(MetarunError, match="4 x 4 pixels or more and the dataset's are of 3 x 9"):
        SmallCNN(8, 8, "none", spec=Spec(shape=(1, 3, 9)))
