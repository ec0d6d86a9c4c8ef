"""One image file to an array, and what its many modes mean."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from metarun.errors import MetarunError

GREY = frozenset({"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N"})
DEEP = frozenset({"I", "I;16", "I;16B", "I;16L", "I;16N"})  # 16 bits in each pixel
FULL = 65535


def need_pillow() -> Any:
    """Return Pillow's module `Image`.

    Raises:
        MetarunError: Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise MetarunError(
            'Images are read with Pillow, which is not installed: pip install "metarun[images]"'
        ) from error
    return Image


def is_grey(file: Path | IO[bytes], where: str) -> bool:
    """Return whether an image has no colour, by its header alone; a palette counts as colour.

    Raises:
        MetarunError: it is no image, or damaged.
    """
    image_module = need_pillow()
    try:
        with image_module.open(file) as image:
            return image.mode in GREY
    except _broken(image_module) as error:
        raise _damaged(where, error) from error


def decode(file: Path | IO[bytes], where: str, channels: int) -> NDArray[np.uint8]:
    """Return (channels, height, width) of an image.

    Of an animation the first frame; upright as the camera noted; 16 bits scaled to 8, not clipped; what is transparent
    on white, as viewers show it.

    Raises:
        MetarunError: it is no image, or damaged.
    """
    image_module = need_pillow()
    from PIL import ImageOps

    try:
        with image_module.open(file) as image:
            image.load()
            flat = _flat(ImageOps.exif_transpose(image), image_module).convert("L" if channels == 1 else "RGB")
    except _broken(image_module) as error:
        raise _damaged(where, error) from error
    pixels = np.asarray(flat)
    return pixels[None] if channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def resized(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Return an image (channels, height, width) as (channels, size, size), whatever its proportions were.

    By the bilinear filter, which in Pillow averages over what a pixel covers. `decode` has made grey or colour of the
    image before: asked to scale one of 1 bit or with a palette, Pillow takes the nearest pixel whatever is named.
    """
    if pixels.shape[1:] == (size, size):
        return pixels
    image_module = need_pillow()
    planes = [image_module.fromarray(plane).resize((size, size), image_module.Resampling.BILINEAR) for plane in pixels]
    return np.stack([np.asarray(plane) for plane in planes])


def _flat(image: Any, image_module: Any) -> Any:
    """Return an image of 8 bits without transparency."""
    if image.mode in DEEP:
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > FULL:
            raise ValueError(f"its values go from {values.min()} to {values.max()}, not from 0 to {FULL}")
        return image_module.fromarray(((values * 255 + FULL // 2) // FULL).astype(np.uint8))
    if "transparency" in image.info or image.mode in ("LA", "La", "PA", "RGBA", "RGBa"):
        image = image.convert("RGBA")
        paper = image_module.new("RGBA", image.size, "white")
        return image_module.alpha_composite(paper, image)
    return image


def _broken(image_module: Any) -> tuple[type[Exception], ...]:
    """Return what Pillow raises for a file that is no image, cut off, damaged or far too large."""
    return (
        OSError, SyntaxError, ValueError, EOFError, zlib.error, struct.error, image_module.DecompressionBombError
    )  # fmt: skip


def _damaged(where: str, error: Exception) -> MetarunError:
    return MetarunError(f"{where} is not an image that can be read, or damaged ({error}): replace it, or take it away.")
