"""How far a parameter of a backbone is from the head, in layers."""

from __future__ import annotations

import re

from torch import nn


def depths(backbone: nn.Module) -> dict[str, int]:
    """Return for every parameter how many layers from the head it is: 1 in the last layer, L in the first.

    A layer is what shares a number within the backbone ("layers.0.weight" and "norms.0.bias"), or a child module.

    >>> depths(nn.ModuleDict({"layers": nn.ModuleList([nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False)])}))
    {'layers.0.weight': 2, 'layers.1.weight': 1}
    """
    names = [name for name, _ in backbone.named_parameters()]
    children = [name for name, _ in backbone.named_children()]
    numbers = {name: re.search(r"(?:^|\.)(\d+)\.", name) for name in names}
    keys = {
        name: int(found.group(1)) if (found := numbers[name]) else children.index(name.split(".")[0]) for name in names
    }
    order = sorted(set(keys.values()))
    return {name: len(order) - order.index(key) for name, key in keys.items()}
