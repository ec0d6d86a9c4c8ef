"""How far a parameter of a backbone is from the head, in layers."""

from __future__ import annotations

import re

from torch import nn


def depths(backbone: nn.Module) -> dict[str, int]:
    """Return for every parameter how many layers from the head it is: 1 in the last layer, L in the first.

    A layer is what shares a number within the backbone ("layers.0.weight" and "norms.0.bias"), or a child module with
    the normalisation named after it ("conv.weight" and "conv_norm.bias").

    >>> depths(nn.ModuleDict({"layers": nn.ModuleList([nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False)])}))
    {'layers.0.weight': 2, 'layers.1.weight': 1}
    """
    names = [name for name, _ in backbone.named_parameters()]
    children = [name for name, _ in backbone.named_children()]

    def key(name: str) -> int:
        number, child = re.search(r"(?:^|\.)(\d+)\.", name), name.split(".")[0]
        layer = child.removesuffix("_norm")
        return int(number.group(1)) if number else children.index(layer if layer in children else child)

    order = sorted({key(name) for name in names})
    return {name: len(order) - order.index(key(name)) for name in names}
