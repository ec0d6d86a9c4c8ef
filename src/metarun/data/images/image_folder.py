"""Any folder of class folders with images in them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from metarun.data.images import cache, descriptions
from metarun.data.images.decode import decode, is_grey, need_pillow, resized
from metarun.data.images.images import Images, assemble, described
from metarun.errors import MetarunError

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")
LARGE = 3000  # images; fewer are decoded again each time


def read(path: str, size: int | None = None, channels: int | None = None, cache_folder: Path | None = None) -> Images:
    """Return the images directly in the folders directly in `path`, one class for each folder.

    `size` scales all to size x size, whatever their proportions, and None takes them as they are; `channels` is 1
    (grey) or 3 (colour), and None is 1 if no image has colour. Hidden files, links and other files are passed over. A
    table descriptions.csv in `path` gives the attributes of the classes. Large folders are kept decoded in the cache.

    Raises:
        MetarunError: no such folder, no class, a class without an image, a damaged image, images of several sizes
            without `size`, or a table that does not fit; with the name of the folder or the file.
    """
    if size is not None and size < 1:
        raise MetarunError(f"dataset.size={size} must be 1 or more, or null for images of one size")
    if channels not in (None, 1, 3):
        raise MetarunError(f"dataset.channels={channels}: choose 1 (grey), 3 (colour) or null for what the images are")
    need_pillow()
    home = Path(path).expanduser()
    if not home.is_dir():
        kind = "is a file, not a folder" if home.exists() else "does not exist"
        raise MetarunError(f"dataset.path={path} {kind}: name a folder that has a folder of images for each class")
    files = _files(home)
    name = f"image_folder/{home.resolve().name}"
    if sum(map(len, files.values())) < LARGE:
        images = _build(name, files, size, channels)
    else:
        identity = f"{size} {channels} {cache.identity(file for some in files.values() for file in some)}"
        images = cache.cached("image_folder", identity, lambda: _build(name, files, size, channels), cache_folder)
    table = home / descriptions.FILE
    return described(images, descriptions.read(table, images.classes)) if table.is_file() else images


def _files(home: Path) -> dict[str, list[Path]]:
    """Return the image files of each class, both by name."""
    folders = [entry.name for entry in _entries(home) if entry.is_dir(follow_symlinks=False)]
    if not folders:
        raise MetarunError(
            f"dataset.path={home} has no class folders: put the images of each class into a folder of their own, "
            f"{home}/CLASS/IMAGE{ENDINGS[0]}"
        )
    found = {}
    for name in sorted(folders):
        entries = _entries(home / name)
        images = [entry.name for entry in entries if entry.is_file(follow_symlinks=False) and _is_image(entry.name)]
        if not images:
            raise MetarunError(
                f"{home / name} has no image ({', '.join(ENDINGS)}), {_others(entries)}: "
                "put images directly into it, or move the folder away"
            )
        found[name] = [home.resolve() / name / image for image in sorted(images)]
    return found


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise MetarunError(f"{folder} cannot be read: {error.strerror or error}") from error


def _is_image(name: str) -> bool:
    return name.lower().endswith(ENDINGS)


def _others(entries: list[os.DirEntry[str]]) -> str:
    """Return what a folder has instead of images."""
    links = sum(entry.is_symlink() for entry in entries)
    folders = sum(entry.is_dir(follow_symlinks=False) for entry in entries)
    counts = {"link": links, "folder": folders, "other file": len(entries) - links - folders}
    words = [f"{count} {kind}{'s' * (count != 1)}" for kind, count in counts.items() if count]
    return f"only {' and '.join(words)}" if words else "nothing at all"


def _build(name: str, files: dict[str, list[Path]], size: int | None, channels: int | None) -> Images:
    flat = [file for some in files.values() for file in some]
    if channels is None:
        channels = 1 if all(is_grey(file, str(file)) for file in flat) else 3
    pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]] | None = None
    for row, file in enumerate(flat):
        image = decode(file, str(file), channels)
        if size is not None:
            image = resized(image, size)
        if pixels is None:
            pixels = np.empty((len(flat), *image.shape), np.uint8)
        if image.shape != pixels.shape[1:]:
            raise MetarunError(
                f"{flat[0]} is {pixels.shape[3]} x {pixels.shape[2]}, "
                f"but {file} is {image.shape[2]} x {image.shape[1]}: "
                "set dataset.size=SIDE, in pixels, to scale all to one size"
            )
        pixels[row] = image
    assert pixels is not None  # every class has an image
    label = np.repeat(np.arange(len(files)), [len(some) for some in files.values()])
    return assemble(name, pixels, label, list(files))
