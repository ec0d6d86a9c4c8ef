"""MNIST as a dataset of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from metarun.data.few_shot_images import FewShotImages
from metarun.data.images import Images, mnist


class Mnist(FewShotImages):
    """Handwritten digits of 28 x 28 pixels; LeCun, Bottou, Bengio and Haffner, 1998."""

    shares = (0.4, 0.3, 0.3)

    def __init__(self, folder: str | None, **view: Any) -> None:
        """view: what every set of images is asked for."""
        super().__init__(**view)
        self.folder = Path(folder) if folder else None

    def read(self) -> Images:
        """Return the images."""
        return mnist.read(self.folder)
