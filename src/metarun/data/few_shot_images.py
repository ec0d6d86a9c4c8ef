"""Labelled images as few-shot classes: a class may be turned or mirrored to give another one."""

from __future__ import annotations

from functools import partial
from typing import Any

from metarun.data.distortion import affine
from metarun.data.episodes import MIRRORED
from metarun.data.few_shot import FewShot
from metarun.data.images import Images

IMAGES = "images"
"""The split by images instead of classes: all classes are known, and held-out images are classified."""


class FewShotImages(FewShot):
    """`rotations`: degrees by which a class is turned to give another class, in the same part as the class itself.

    Where images are split instead of classes, none is turned.
    """

    row = "image"

    def __init__(
        self,
        split: str,
        rotations: list[int],
        train_rotations: list[int] | None,
        train_mirrored: bool,
        train_affine: float,
        **view: Any,
    ) -> None:
        """train_rotations: of training, None for those that are judged; view: what all labelled rows are asked for.

        train_mirrored: training classes are there a second time, mirrored, as further classes. train_affine: how much
        training images are turned, sheared, stretched and moved at random.
        """
        super().__init__(split, **view)
        self.rotations = {degrees // 90 for degrees in rotations}
        self.train_rotations = {degrees // 90 for degrees in train_rotations or rotations}
        if train_mirrored:
            self.train_rotations |= {quarters + MIRRORED for quarters in self.train_rotations}
        if split == IMAGES:  # a held-out image of a known class stands upright
            self.rotations = self.train_rotations = {0}
        self.turns = sorted(self.rotations | self.train_rotations)
        self.change = partial(affine, size=train_affine) if train_affine else None

    def turned(self, part: str) -> set[int]:
        """Return the turns of a part."""
        return self.train_rotations if part == "train" else self.rotations

    def reading(self) -> dict[str, Any] | None:
        """Return how image files become inputs; None where images are not square, so that they cannot be scaled."""
        shape = list(self.spec.shape)
        return {"kind": "images", "shape": shape, "classes": []} if shape[1] == shape[2] else None

    @property
    def images(self) -> Images:
        """The images."""
        found: Images = self.table
        return found
