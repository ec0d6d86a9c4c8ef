"""The packaged weights: plain arrays, read without running any code that they could carry."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch

from metarun import atomic
from metarun.in_context.network import Network

SIZES, FACTS = "sizes", "facts"


@cache
def packaged(kind: str) -> tuple[Network, dict[str, Any]]:
    """Return the network of "classifier" or "regressor" in float64, and what is known about it, e.g. its limits."""
    return unpacked((files("metarun") / "weights" / f"{kind}.npz").read_bytes())


def unpacked(content: bytes) -> tuple[Network, dict[str, Any]]:
    """Return the network in float64 and what is known about it."""
    with np.load(BytesIO(content), allow_pickle=False) as arrays:
        facts: dict[str, Any] = json.loads(str(arrays[FACTS]))
        network = Network(**json.loads(str(arrays[SIZES])))
        state = {name: torch.from_numpy(arrays[name]) for name in arrays.files if name not in (SIZES, FACTS)}
    network.load_state_dict(state)
    return network.double().eval().requires_grad_(False), facts


def pack(path: Path, network: Network, facts: dict[str, Any]) -> None:
    """Write a network and what is known about it: limits, the command that trained it."""
    state = network.state_dict()
    arrays: dict[str, Any] = {name: value.detach().float().cpu().numpy() for name, value in state.items()}
    arrays |= {SIZES: json.dumps(network.sizes), FACTS: json.dumps(facts)}
    atomic.write(path, lambda file: np.savez(file, **arrays))
