"""Folders of class folders: what is read of them, in which order, and what is refused in which words."""

from __future__ import annotations

import re

import numpy as np
import pytest
from image_files import birds, noise, save
from PIL import Image

from metarun.data.images import image_folder, images
from metarun.data.images.decode import decode, resized
from metarun.errors import MetarunError


def test_classes_and_files_come_by_name(tmp_path):
    found = image_folder.read(str(birds(tmp_path / "birds")))
    assert (found.name, found.classes, found.label.tolist()) == ("image_folder/birds", ["crow", "wren"], [0, 1, 1])
    assert found.pixels.shape == (3, 1, 6, 5)
    for row, seed in enumerate([2, 1, 0]):
        assert np.array_equal(found.pixels[row, 0], noise((6, 5), seed))
    assert found.rows(1).tolist() == [1, 2]
    assert found.official == {}
    assert found.descriptions is None


def test_the_checksum_covers_pixels_and_class_names(tmp_path):
    first = image_folder.read(str(birds(tmp_path / "birds"))).checksum
    assert image_folder.read(str(birds(tmp_path / "again"))).checksum == first
    (tmp_path / "again" / "crow").rename(tmp_path / "again" / "rook")
    renamed = image_folder.read(str(tmp_path / "again")).checksum
    save(tmp_path / "birds" / "crow" / "z.png", noise((6, 5), 9))
    assert len({first, renamed, image_folder.read(str(tmp_path / "birds")).checksum}) == 3


def test_hidden_files_links_and_other_files_are_passed_over(tmp_path):
    home = birds(tmp_path / "birds")
    first = image_folder.read(str(home))
    (home / "crow" / "notes.txt").write_text("x")
    (home / "README.md").write_text("x")
    save(home / "crow" / ".hidden.png", noise((2, 2)))
    save(home / ".git" / "a.png", noise((2, 2)))
    (home / "crow" / "linked.png").symlink_to(home / "wren" / "a.png")
    (home / "robin").symlink_to(home / "wren", target_is_directory=True)
    assert image_folder.read(str(home)).checksum == first.checksum


def test_channels_follow_the_images_or_the_option(tmp_path):
    home = birds(tmp_path / "birds")
    assert image_folder.read(str(home), channels=3).pixels.shape == (3, 3, 6, 5)
    colour = noise((6, 5, 3), 7)
    save(home / "crow" / "y.PNG", colour)
    found = image_folder.read(str(home))
    assert found.pixels.shape == (4, 3, 6, 5)
    assert np.array_equal(found.pixels[0], colour.transpose(2, 0, 1))
    assert np.array_equal(found.pixels[1], np.stack([noise((6, 5), 2)] * 3))
    grey = image_folder.read(str(home), channels=1).pixels[0, 0]
    assert np.abs(grey - colour @ np.array([0.299, 0.587, 0.114])).max() <= 1


def test_scaling_averages_and_keeps_everything_in_sight(tmp_path):
    home = birds(tmp_path / "birds", (40, 80))
    edge = np.zeros((40, 80), np.uint8)
    edge[:, 60:] = 255
    save(home / "crow" / "z.png", edge)
    found = image_folder.read(str(home), size=8).pixels
    assert found.shape == (3, 1, 8, 8)
    assert abs(found[0].mean() - 64) < 3  # a quarter of the picture, which a crop from the middle would have lost
    assert 100 < found[1].mean() < 155
    assert found[1].std() < 40  # of noise with 74: single pixels taken would keep it


@pytest.mark.parametrize("ending", ["jpg", "jpeg", "bmp", "gif", "webp", "JPG"])
def test_every_ending(ending, tmp_path):
    save(tmp_path / "birds" / "crow" / f"a.{ending}", np.full((16, 16, 3), (200, 40, 10), np.uint8))
    found = image_folder.read(str(tmp_path / "birds"))
    assert found.pixels.shape == (1, 3, 16, 16)
    assert np.abs(found.pixels[0].mean((1, 2)) - [200, 40, 10]).max() < 12


def test_what_the_modes_mean(tmp_path):
    def one(image, channels=1, **options):
        image.save(tmp_path / "a.png", **options)
        return decode(tmp_path / "a.png", "a.png", channels)

    deep = np.array([[0, 257, 65535, 40000]], np.uint16)
    assert one(Image.fromarray(deep)).tolist() == [[[0, 1, 255, round(40000 / 257)]]]
    assert one(Image.fromarray(np.array([[True, False]]))).tolist() == [[[255, 0]]]
    seen = np.array([[[10, 10, 10, 255], [10, 10, 10, 0], [0, 0, 0, 51]]], np.uint8)
    assert one(Image.fromarray(seen)).tolist() == [[[10, 255, 204]]]  # transparent on white
    palette = Image.fromarray(np.array([[0, 1]], np.uint8)).convert("P")
    palette.putpalette([255, 0, 0, 0, 0, 255])
    assert one(palette, 3).tolist() == [[[255, 0]], [[0, 0]], [[0, 255]]]
    assert one(palette, 3, transparency=0).tolist() == [[[255, 0]], [[255, 0]], [[255, 255]]]
    sideways = Image.fromarray(np.array([[1, 2]], np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    assert one(sideways, exif=exif).tolist() == [[[1], [2]]]


def test_of_an_animation_the_first_frame(tmp_path):
    frames = [Image.fromarray(np.full((4, 4), level, np.uint8)) for level in (30, 200)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert decode(tmp_path / "a.gif", "a.gif", 1).tolist() == [[[30] * 4] * 4]


def test_one_bit_is_scaled_with_greys():
    lines = np.zeros((1, 105, 105), np.uint8)
    lines[:, 50:53] = 255
    assert set(np.unique(resized(lines, 28))) - {0, 255}
    assert resized(lines, 105) is lines


def test_descriptions(tmp_path):
    home = birds(tmp_path / "birds")
    plain = image_folder.read(str(home))
    (home / "descriptions.csv").write_text("name,size,black\nwren,0.1,0\n\n crow ,0.5,1\n", encoding="utf-8-sig")
    found = image_folder.read(str(home))
    assert np.array_equal(found.descriptions, np.array([[0.5, 1], [0.1, 0]], np.float32))
    assert found.checksum != plain.checksum


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no attributes"),
        ("name\nwren\ncrow\n", "has no attributes"),
        ("name,a\nwren,1\n", "describes 1 of 2 classes: add a line for crow."),
        ("name,a\nwren,1\ncrow,1\nwren,2\n", "line 4 describes wren a second time"),
        ("name,a\nwern,1\n", "line 2: there is no class folder 'wern'. Did you mean 'wren'?"),
        ("name,a\nwren,1,2\n", "line 2 has 3 cells, but the first line has 2."),
        ("name,a\nwren,big\n", "line 2, a: 'big' is not a finite number."),
        ("name,a\nwren,nan\n", "line 2, a: 'nan' is not a finite number."),
        ("name,a\nwren,1e39\n", "line 2, a: '1e39' is not a finite number."),
        ("name,a\nwren,\n", "line 2, a: '' is not a finite number."),
    ],
)
def test_descriptions_that_do_not_fit(text, words, tmp_path):
    home = birds(tmp_path / "birds")
    (home / "descriptions.csv").write_text(text)
    with pytest.raises(MetarunError, match=rf"descriptions\.csv.*{re.escape(words)}"):
        image_folder.read(str(home))


def test_descriptions_that_are_no_text(tmp_path):
    home = birds(tmp_path / "birds")
    (home / "descriptions.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(MetarunError, match="cannot be read as a CSV file in UTF-8"):
        image_folder.read(str(home))


def refused(home, **options) -> str:
    with pytest.raises(MetarunError) as error:
        image_folder.read(str(home), **options)
    return str(error.value)


def test_mixed_sizes(tmp_path):
    home = birds(tmp_path / "birds")
    other = save(home / "wren" / "c.png", noise((6, 7)))
    words = refused(home)
    assert f"{home}/crow/z.png is 5 x 6, but {other} is 7 x 6: set dataset.size=SIDE" in words
    assert image_folder.read(str(home), size=4).pixels.shape == (4, 1, 4, 4)


@pytest.mark.parametrize("damage", ["cut", "text", "empty"])
@pytest.mark.parametrize("ending", ["png", "jpg", "gif", "webp", "bmp"])
def test_a_damaged_image_is_named(damage, ending, tmp_path):
    home = birds(tmp_path / "birds", (60, 60))
    path = save(home / "wren" / f"c.{ending}", noise((60, 60)))
    content = path.read_bytes()
    path.write_bytes({"cut": content[: len(content) // 2], "text": b"not an image", "empty": b""}[damage])
    for channels in (None, 1):
        assert refused(home, channels=channels).startswith(f"{path} is not an image that can be read, or damaged (")


def test_what_there_is_instead_of_images(tmp_path):
    home = tmp_path / "birds"
    assert (
        refused(home) == f"dataset.path={home} does not exist: name a folder that has a folder of images for each class"
    )
    home.mkdir()
    assert "has no class folders: put the images of each class into a folder of their own" in refused(home)
    save(home / "a.png", noise((2, 2)))
    assert "has no class folders" in refused(home)
    assert f"dataset.path={home}/a.png is a file, not a folder" in refused(home / "a.png")
    (home / "crow").mkdir()
    assert f"{home}/crow has no image (.png, .jpg, .jpeg, .bmp, .gif, .webp), nothing at all: put" in refused(home)
    (home / "crow" / "a.txt").write_text("")
    (home / "crow" / "b.tiff").write_text("")
    (home / "crow" / "deep").mkdir()
    (home / "crow" / "c.png").symlink_to(home / "a.png")
    assert "only 1 link and 1 folder and 2 other files: put" in refused(home)


def test_options_out_of_range(tmp_path):
    home = birds(tmp_path / "birds")
    assert refused(home, size=0) == "dataset.size=0 must be 1 or more, or null for images of one size"
    assert refused(home, channels=2).startswith("dataset.channels=2: choose 1 (grey), 3 (colour) or null")


def test_large_folders_are_kept_until_a_file_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(image_folder, "LARGE", 3)
    home, cache = birds(tmp_path / "birds"), tmp_path / "cache"
    (home / "descriptions.csv").write_text("name,a\nwren,1\ncrow,2\n")
    first = image_folder.read(str(home), cache_folder=cache)
    decoded = []
    build = image_folder._build
    monkeypatch.setattr(image_folder, "_build", lambda *given: decoded.append(1) or build(*given))
    again = image_folder.read(str(home), cache_folder=cache)
    assert not decoded
    assert again.checksum == first.checksum
    assert np.array_equal(again.pixels, first.pixels)
    assert np.array_equal(again.descriptions, first.descriptions)
    assert image_folder.read(str(home), size=4, cache_folder=cache).pixels.shape == (3, 1, 4, 4)
    save(home / "wren" / "a.png", noise((6, 5), 50))
    assert np.array_equal(image_folder.read(str(home), cache_folder=cache).pixels[1, 0], noise((6, 5), 50))
    assert len(decoded) == 2


def test_a_damaged_cache_is_made_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(image_folder, "LARGE", 3)
    home, cache = birds(tmp_path / "birds"), tmp_path / "cache"
    first = image_folder.read(str(home), cache_folder=cache).pixels.copy()
    (place,) = cache.glob("image_folder-*")
    for name in ("pixels.npy", "label.npy", "meta.json"):
        whole = (place / name).read_bytes()
        for damaged in (b"", whole[: len(whole) // 2]):
            (place / name).unlink()  # a mapped file must not shrink
            (place / name).write_bytes(damaged)
            assert np.array_equal(image_folder.read(str(home), cache_folder=cache).pixels, first)
    assert [path for path in cache.iterdir() if path.name.startswith(".unfinished")] == []


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr(image_folder, "LARGE", 3)
    (tmp_path / "file").write_text("")
    with pytest.raises(MetarunError, match=r"decoded images cannot be kept in .*: set METARUN_CACHE to a folder"):
        image_folder.read(str(birds(tmp_path / "birds")), cache_folder=tmp_path / "file" / "cache")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pixels": np.zeros((3, 6, 5), np.uint8)}, "pixels must be uint8 of shape"),
        ({"pixels": np.zeros((3, 1, 6, 5), np.float32)}, "pixels must be uint8 of shape"),
        ({"label": np.zeros(2, np.int64)}, "label must be int64 of shape"),
        ({"classes": ["b", "a"]}, "classes must ascend"),
        ({"classes": ["a", "b", "c"]}, "every class must have an image"),
        ({"label": np.array([0, 1, 2])}, "every class must have an image"),
        ({"descriptions": np.zeros((3, 1), np.float32)}, "descriptions must be finite float32"),
        ({"descriptions": np.full((2, 1), np.nan, np.float32)}, "descriptions must be finite float32"),
        ({"official": {"train": np.array([3])}}, "official rows must be image numbers"),
        ({"official": {"train": np.array([0]), "test": np.array([0])}}, "official rows must be image numbers"),
    ],
)
def test_parts_that_do_not_fit_together(change, words):
    parts = {"pixels": np.zeros((3, 1, 6, 5), np.uint8), "label": np.array([0, 1, 1]), "classes": ["a", "b"]}
    images.assemble("toy", **parts)
    with pytest.raises(MetarunError, match=f"toy: {words}"):
        images.assemble("toy", **(parts | change))
