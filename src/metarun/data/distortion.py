"""Small random changes of images that leave their class, as a pure function of a hash of each image."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from metarun.hashing import combine, uniform

Change = Callable[[Tensor, Tensor], Tensor]
"""Rows (N, ...) and a key (N,) of each to rows that are changed and mean the same."""

ANGLE, SHEAR, SCALE, SHIFT = math.radians(10), 0.15, 0.1, 1 / 7
"""The most that an image is turned, sheared, stretched, and moved (as a share of half its side), at size 1."""


def affine(x: Tensor, key: Tensor, size: float) -> Tensor:
    """Return images (N, channels, height, width) uint8, each turned, sheared, stretched and moved; key (N,)."""
    angle, shear, wide, high, right, down = (
        uniform(combine(number, key), -most * size, most * size)
        for number, most in enumerate((ANGLE, SHEAR, SCALE, SCALE, SHIFT, SHIFT))
    )
    cos, sin = angle.cos(), angle.sin()
    rows = [torch.stack([(1 + wide) * cos, shear - sin, right], 1), torch.stack([sin, (1 + high) * cos, down], 1)]
    grid = affine_grid(torch.stack(rows, 1), list(x.shape), align_corners=False)
    # The edge of an image goes on beyond it, whatever colour the background is.
    found = grid_sample(x.float(), grid, padding_mode="border", align_corners=False)
    return found.round().to(torch.uint8)
