"""Rows of several named inputs as tasks of groups: any input may be missing, and each is judged alone as well."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from metarun.data.audio import disturbance
from metarun.data.distortion import affine
from metarun.data.grouped import Grouped
from metarun.data.named import Shapes, only, packed, segments, some_missing
from metarun.hashing import combine
from metarun.model import Spec

IMAGE, CLIP, NUMBERS = "image", "clip", "numbers"
"""What an input is, and so how training rows are changed; numbers are not."""
CHANGES = {IMAGE: affine, CLIP: disturbance.changed}


class NamedInputs(Grouped):
    """A subclass says what its inputs are (`kinds`, before this constructor) and reads them (`values`, `there`)."""

    kinds: Mapping[str, str]

    def __init__(self, train_changes: float, train_missing: float, **view: Any) -> None:
        """train_changes: size of changes of training clips and images; view: what every set of groups is asked for.

        train_missing: share of training rows that lack one input.
        """
        super().__init__(**view)
        self.train_changes, self.train_missing = train_changes, train_missing
        alone = [f"{name} alone" for name in self.kinds] if len(self.kinds) > 1 else []
        self.cells = [*self.cells, *alone]
        self.change = self.changed

    @property
    def values(self) -> dict[str, Tensor]:
        """Each input (N, ...) as bytes."""
        raise NotImplementedError

    @property
    def there(self) -> dict[str, Tensor]:
        """Which rows (N,) have each input, for those that some row lacks."""
        return {}

    @property
    def shapes(self) -> Shapes:
        """The shape of each input."""
        return {name: tuple(value.shape[1:]) for name, value in self.values.items()}

    @cached_property
    def inputs(self) -> Tensor:
        """Rows (N, D), see `data.named`."""
        return packed(self.values, self.there)

    def inputs_in(self, cell: str | None, part: str) -> Tensor:
        """Return rows (N, D) with all inputs, or with the one that a cell is about."""
        name = (cell or "").removesuffix(" alone")
        return only(self.inputs, name, self.shapes) if name in self.kinds and len(self.kinds) > 1 else self.inputs

    def changed(self, x: Tensor, key: Tensor) -> Tensor:
        """Return training rows (N, D), each input changed in its own way, of some rows one missing."""
        shapes, parts = self.shapes, []
        for number, (name, part) in enumerate(segments(shapes).items()):
            own = x[:, part.start + 1 : part.stop].reshape(len(x), *shapes[name])
            if self.train_changes and self.kinds[name] in CHANGES:
                own = CHANGES[self.kinds[name]](own, combine(number, key), self.train_changes)
            parts += [x[:, part.start : part.start + 1], own.flatten(1)]
        found = torch.cat(parts, 1)
        return some_missing(found, key, self.train_missing, shapes) if len(shapes) > 1 else found

    @property
    def spec(self) -> Spec:
        """What the model is told: also the shape of each input."""
        return replace(super().spec, inputs=dict(self.shapes))
