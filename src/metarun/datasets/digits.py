"""Handwritten digits of 8 x 8 pixels as a dataset of runs."""

from __future__ import annotations

from typing import Any

from metarun.data.few_shot_images import FewShotImages
from metarun.data.images import Images, digits
from metarun.data.images.splits import class_split

SHARES = {"train": 0.4, "validation": 0.3, "test": 0.3}


class Digits(FewShotImages):
    """scikit-learn's copy of the optical recognition of handwritten digits; Alpaydin and Kaynak, UCI, 1998."""

    def __init__(self, **view: Any) -> None:
        """view: what every set of images is asked for."""
        super().__init__(**view)

    def read(self) -> Images:
        """Return the images."""
        return digits.read()

    def parts(self) -> dict[str, list[int]]:
        """Return 4 digits to train on, 3 that choose and 3 that test, by the seed of the split."""
        return class_split(self.images, "seeded", self.split_seed, SHARES)
