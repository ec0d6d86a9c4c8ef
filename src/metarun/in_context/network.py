"""A small transformer over rows, meta-trained to predict: support rows carry labels, query rows attend to them only.

Müller et al., "Transformers can do Bayesian inference", ICLR 2022; Hollmann et al., "TabPFN", ICLR 2023. Its first
layer solves least squares, as the mesa layer of von Oswald et al., "Uncovering mesa-optimization algorithms in
transformers", 2023. A token stands for a row and a class, and all classes share all weights: permuting classes,
features or rows permutes the answer. A regression has two targets, y and -y, so negating labels negates the answer.
Shapes: S support rows, B rows, D features, C classes, H kernels, W width of a token.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, silu

from metarun.in_context.similarity import Scale, Weights, facts, products, scale_of, views
from metarun.model import among

CONTEXT = 4
FAR, HIDDEN = 20.0, 1e6
"""Scaled distances: of a place that is worth nothing, so that a row alone has somewhere to look; of what is hidden."""


class Support(NamedTuple):
    """What is kept of the support rows: all that answering needs; a pytree to torch.func."""

    scale: Scale
    weights: Tensor  # (H, 2 D)
    settings: Tensor  # (H, 2)  width and ridge of each kernel
    views: Tensor  # (S, 2 D)
    shown: Tensor  # (S,)
    target: Tensor  # (S, C)  centred
    share: Tensor  # (C,)  mean of the target before
    classes: Tensor  # (C,)
    context: Tensor  # (CONTEXT,)
    solution: Tensor  # (R, S, C)  dual coefficients of the kernels that solve
    memory: list[tuple[Tensor, Tensor, Tensor]]  # of `Layer.remember`, per layer


class Layer(nn.Module):
    """Attention to the support by learned similarity and by distance, then a gated network on each token."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.ask, self.key, self.value = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.near = nn.Parameter(torch.zeros(heads))
        self.out = nn.Linear(3 * width, width)
        self.gate, self.back = nn.Linear(width, 4 * width), nn.Linear(2 * width, width)

    def remember(self, token: Tensor, shown: Tensor, classes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return keys, values (heads, S + 1, C * W / heads) and the mean value (C, W) of support tokens (S, C, W)."""
        token = self.before(token) * classes[:, None]
        value = self.value(token)
        mean = (value * shown[:, None, None]).sum(0) / shown.sum().clamp(min=1.0)
        return pad(self.split(self.key(token)), (0, 0, 0, 1)), pad(self.split(value), (0, 0, 0, 1)), mean

    def split(self, token: Tensor) -> Tensor:
        """Return tokens (B, C, W) by head, (heads, B, C * W / heads)."""
        rows, ways, width = token.shape
        return token.reshape(rows, ways, self.heads, width // self.heads).permute(2, 0, 1, 3).flatten(2)

    def forward(self, token: Tensor, memory: tuple[Tensor, Tensor, Tensor], away: Tensor, classes: Tensor) -> Tensor:
        """Return tokens (B, C, W); away (heads, B, S + 1) scaled distances."""
        key, value, mean = memory
        rows, ways, width = token.shape
        count = classes.sum().clamp(min=1.0)
        norm = self.before(token) * classes[:, None]
        ask = self.split(self.ask(norm)) / (count * width / self.heads).sqrt()
        weight = (ask @ key.mT - self.near.exp()[:, None, None] * away).softmax(-1)
        seen = (weight @ value).reshape(self.heads, rows, ways, width // self.heads).permute(1, 2, 0, 3).flatten(2)
        overall = (norm.sum(1, keepdim=True) / count).expand_as(norm)
        token = token + self.out(torch.cat([seen, mean.expand_as(seen), overall], -1))
        up, gate = self.gate(self.between(token)).chunk(2, -1)
        out: Tensor = token + self.back(up * silu(gate))
        return out


class Network(nn.Module):
    """Kernels, of which some average neighbours and some solve least squares; then layers of attention; then logits."""

    def __init__(
        self, width: int = 32, layers: int = 3, heads: int = 4, lines: int = 2, bells: int = 2, hidden: int = 32
    ) -> None:
        """heads: kernels that average neighbours; lines, bells: linear and Gaussian ones that solve least squares."""
        super().__init__()
        self.sizes = {
            "width": width, "layers": layers, "heads": heads, "lines": lines, "bells": bells, "hidden": hidden
        }  # fmt: skip
        self.heads, self.lines, self.bells = heads, lines, bells
        kernels = heads + lines + bells
        self.weights = Weights(CONTEXT, kernels, hidden)
        self.settings = nn.Sequential(nn.Linear(CONTEXT + 2, hidden), nn.GELU(), nn.Linear(hidden, 2 * kernels))
        self.enter = nn.Linear(kernels + heads + CONTEXT + 3, width)
        self.layers = nn.ModuleList(Layer(width, heads) for _ in range(layers))
        self.leave = nn.Linear(width + kernels, 1)
        self.last = nn.LayerNorm(width)

    def read(self, x: Tensor, y: Tensor, shown: Tensor, classes: Tensor) -> Support:
        """Return what to keep of support rows x (S, D) with targets y (S, C), one-hot or (y, -y); shown (S,)."""
        number = shown.sum().clamp(min=1.0)
        y = y * shown[:, None] * classes
        share = y.sum(0) / number
        target = (y - share) * shown[:, None] * classes
        scale = scale_of(x, shown)
        p = views(scale, x)
        features = scale.varies.sum()
        context = torch.stack([
            number.log() / 3, torch.log1p(features) / 3, classes.sum().log(), share.square().sum()
        ])  # fmt: skip
        found = facts(p, target, shown, classes, scale.varies, context)
        weights = self.weights(found, scale.varies)
        table = found[0, -CONTEXT - 2 :]
        settings = (8 * torch.tanh(self.settings(table) / 8)).exp().reshape(-1, 2)
        support = Support(
            scale, weights, settings, p, shown, target, share, classes, context, target[None], []
        )  # fmt: skip
        inner, away = products(weights, p, p)
        inverse = self.inverse(support, inner, away)
        solution = inverse @ target
        left_out = target - solution / inverse.diagonal(dim1=-2, dim2=-1)[..., None].clamp(min=1e-9)
        support = support._replace(solution=solution)
        hidden = torch.eye(len(x), device=x.device, dtype=torch.bool) | (shown < 0.5)
        token, _, near = self.tokens(support, left_out, away, hidden, target, torch.ones_like(shown))
        for layer in self.layers:
            assert isinstance(layer, Layer)
            memory = layer.remember(token, shown, classes)
            support.memory.append(memory)
            token = layer(token, memory, near, classes)
        return support

    def answer(self, support: Support, x: Tensor) -> Tensor:
        """Return logits (B, C) for rows x (B, D); for a regression the sum over targets y and -y is 0."""
        p = views(support.scale, x)
        inner, away = products(support.weights, p, support.views)
        solved = self.kernel(support, inner, away) @ support.solution
        hidden = (support.shown < 0.5).expand(len(x), -1)
        blank = torch.zeros(len(x), support.target.shape[1], dtype=x.dtype, device=x.device)
        token, first, near = self.tokens(support, solved, away, hidden, blank, torch.zeros_like(x[:, 0]))
        for layer, memory in zip(self.layers, support.memory, strict=True):
            token = layer(token, memory, near, support.classes)
        out: Tensor = self.leave(torch.cat([self.last(token), first], -1))[..., 0]
        return among(out, support.classes)

    def kernel(self, support: Support, inner: Tensor, away: Tensor) -> Tensor:
        """Return the kernels that solve (R, B, S), 0 for support rows that are not shown."""
        line, bell = self.heads, self.heads + self.lines
        width = support.settings[bell:, 0, None, None]
        found = torch.cat([inner[line:bell], torch.exp(-width * away[bell:])])
        return found * support.shown

    def inverse(self, support: Support, inner: Tensor, away: Tensor) -> Tensor:
        """Return the inverse of kernel + ridge (R, S, S)."""
        kernel = self.kernel(support, inner, away) * support.shown[:, None]
        ridge = support.settings[self.heads :, 1, None, None] + 1e-3
        eye = torch.eye(kernel.shape[-1], dtype=kernel.dtype, device=kernel.device)
        inverse: Tensor = torch.linalg.inv(kernel + ridge * eye)
        return inverse

    def tokens(
        self, support: Support, solved: Tensor, away: Tensor, hidden: Tensor, target: Tensor, is_support: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return tokens (B, C, W) of rows, what the kernels say (B, C, H), scaled distances (heads, B, S + 1)."""
        near = support.settings[: self.heads, 0, None, None] * away[: self.heads] + HIDDEN * hidden
        near = pad(near, (0, 1), value=FAR)
        averaged = (-near).softmax(-1)[..., :-1] @ support.target
        crowd = torch.logsumexp(-near, -1) - support.shown.sum().clamp(min=1.0).log()
        rows, ways = target.shape
        first = torch.cat([averaged, solved]).permute(1, 2, 0)
        per_row = torch.cat([crowd.T / 5, support.context.expand(rows, -1), is_support[:, None]], -1)
        share = support.share.expand(rows, -1)[..., None]
        whole = [first, per_row[:, None].expand(-1, ways, -1), share, target[..., None]]
        return self.enter(torch.cat(whole, -1)), first, near


def classify(network: Network, x: Tensor, y: Tensor, shown: Tensor, classes: Tensor, query: Tensor) -> Tensor:
    """Return logits (B, C) for query rows, labels y (S,) being class numbers."""
    one_hot = (y[:, None] == torch.arange(len(classes), device=y.device)).to(x.dtype)
    return network.answer(network.read(x, one_hot, shown, classes), query)


def regress(network: Network, x: Tensor, y: Tensor, shown: Tensor, query: Tensor) -> Tensor:
    """Return predictions (B, 1) for query rows; labels y (S,) are standardised by the support."""
    number = shown.sum().clamp(min=1.0)
    mean = (y * shown).sum() / number
    centred = (y - mean) * shown
    deviation = (centred.square().sum() / number).sqrt()
    scale = torch.where(deviation > 0, deviation, 1.0)
    target = torch.stack([centred / scale, -centred / scale], -1)
    out = network.answer(network.read(x, target, shown, y.new_ones(2)), query)
    return mean + scale * (out[:, :1] - out[:, 1:]) / 2
