"""What the backbones of images ask of a dataset, in words."""

from __future__ import annotations

from metarun.errors import MetarunError
from metarun.model import Spec


def image(spec: Spec, name: str, least: int = 1) -> tuple[int, int, int]:
    """Return (channels, height, width) of the dataset's images.

    Raises:
        MetarunError: its inputs are no images, or of less than `least` by `least` pixels.
    """
    if len(spec.shape) != 3:
        raise MetarunError(
            f"backbone={name} reads images (channels, height, width) and the dataset has arrays of "
            f"{tuple(spec.shape)}: choose a dataset of images, or backbone=mlp"
        )
    channels, height, width = spec.shape
    if min(height, width) < least:
        raise MetarunError(
            f"backbone={name} reads images of {least} x {least} pixels or more and the dataset's are of "
            f"{height} x {width}: choose backbone=conv4 or backbone=mlp"
        )
    return channels, height, width
