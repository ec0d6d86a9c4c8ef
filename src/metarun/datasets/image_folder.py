"""The user's own images as a dataset of runs."""

from __future__ import annotations

from typing import Any

from metarun.data.few_shot_images import FewShotImages
from metarun.data.images import Images, image_folder


class ImageFolder(FewShotImages):
    """A folder of folders, each of which is a class."""

    fewer = "lower it, or give that part more of dataset.shares"

    def __init__(self, path: str, size: int | None, channels: int | None, shares: list[float], **view: Any) -> None:
        """size, channels: None as found; shares: of the classes; view: what every set of images is asked for."""
        super().__init__(**view)
        self.path, self.size, self.channels, self.shares = path, size, channels, shares

    def read(self) -> Images:
        """Return the images."""
        return image_folder.read(self.path, self.size, self.channels)
