"""Learned inner rates: factors on one rate, which stay positive, or the rates themselves.

Li et al., "Meta-SGD", 2017 (a rate per weight); Antoniou, Edwards and Storkey, "How to train your MAML", ICLR 2019 (a
rate per layer and step). Both learn the rates themselves, so that one may fall below 0 and turn its step around.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, nn

HEAD = "head"
OWN = ("weight", "step")
"""What learns rates instead of factors."""


def key(name: str) -> str:
    """Return a tensor's name as a module may spell it."""
    return name.replace(".", "_")


def learned(kind: str, moving: dict[str, Tensor], tables: Collection[str], steps: int, lr: float) -> nn.ParameterDict:
    """Return what is learned about the rates of the tensors that move, at its start.

    `kind`: "none", nothing; "scalar", the log of a factor per tensor; "parameter", of one per weight of the head and
    one for each other tensor; "weight", the rate of every weight (of every column where rows are looked up in a table);
    "step", the rate of every tensor at every step.
    """

    def shape(name: str) -> tuple[int, ...]:
        if kind == "step":
            return (steps,)
        if kind == "weight":
            return tuple(moving[name].shape[1 if name in tables else 0 :])
        return tuple(moving[name].shape) if kind == "parameter" and name == HEAD else ()

    start = lr if kind in OWN else 0.0
    return nn.ParameterDict(
        {key(name): nn.Parameter(torch.full(shape(name), start), requires_grad=kind != "none") for name in moving}
    )


def nothing() -> nn.ParameterDict:
    """Return no rates."""
    return nn.ParameterDict()


def at(kind: str, values: nn.ParameterDict, name: str, step: int, given: Tensor, weight: Tensor) -> Tensor:
    """Return the rate of a tensor at a step; given (): what factors are on; weight (): of the rows.

    Steps beyond those learned have the last one's rate.
    """
    found: Tensor = values[key(name)]
    if kind not in OWN:
        return given * weight * found.exp()
    return weight * (found[min(step, len(found) - 1)] if kind == "step" else found)
