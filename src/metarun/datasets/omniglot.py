"""Omniglot as a dataset of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from metarun.data.few_shot_images import FewShotImages
from metarun.data.images import Images, omniglot


class Omniglot(FewShotImages):
    """1,623 characters by 20 people each; Lake, Salakhutdinov and Tenenbaum, Science 350, 2015."""

    def __init__(self, folder: str | None, size: int, **view: Any) -> None:
        """size: pixels of a side; view: what every set of images is asked for."""
        super().__init__(**view)
        self.folder, self.size = Path(folder) if folder else None, size

    def read(self) -> Images:
        """Return the images."""
        return omniglot.read(self.folder, self.size)
