"""Tensors that are mostly zeros, such as tables of genres, in the room that their other values need."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

DENSE = 4
"""A value that is not zero costs three times its own room, so packing pays below a quarter of them."""


def pack(tensor: Tensor) -> Any:
    """Return the tensor as it is, or {"shape", "place", "value"} where that takes less room."""
    place = tensor.flatten().nonzero()[:, 0]
    if tensor.numel() < 1000 or tensor.numel() >= 2**31 or len(place) * DENSE > tensor.numel():
        return tensor
    return {"shape": list(tensor.shape), "place": place.int(), "value": tensor.flatten()[place]}


def unpack(packed: Any) -> Tensor:
    """Return what `pack` was given, to the last bit but for the sign of a zero."""
    if isinstance(packed, Tensor):
        return packed
    shape, value = packed["shape"], packed["value"]
    flat = torch.zeros(shape, dtype=value.dtype).flatten()
    return flat.index_copy(0, packed["place"].long(), value).reshape(shape)
