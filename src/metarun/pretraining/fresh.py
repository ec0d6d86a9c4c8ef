"""No pretraining: every method starts from the seed's random weights."""

from __future__ import annotations

from torch import nn

from metarun.model import Model, Spec


class Fresh(nn.Module):
    """Takes no step."""

    epochs = 0

    def __init__(self, *, model: Model, spec: Spec) -> None:
        super().__init__()
