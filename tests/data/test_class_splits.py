"""Splits of classes: the shipped lists are the protocols', and seeded ones depend on names alone."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from metarun.data.images import images
from metarun.data.images.splits import PARTS, class_split, listed, shuffled
from metarun.errors import MetarunError

REAL = Path(os.environ.get("METARUN_DATA", "nowhere")) / "omniglot"
LISTS = {
    ("vinyals", "train"): (1028, "189c10b6479a07e808302b5f1ada00d995589557373e68ebe3e718780196ed0a"),
    ("vinyals", "validation"): (172, "8b1baec8706cbc2c2f1d23874a30a50ac8f589502ea36e213c3c3cf14d30a189"),
    ("vinyals", "test"): (423, "af119b10f318ddb7afdf5108b360887823cf06da68d846c7e5de7286492976d7"),
    ("lake", "train"): (801, "8d283185ea38f96a06ed3f122df355bb0a7d7e85e5b8028e45bc3ce10ca6318f"),
    ("lake", "validation"): (163, "1444784ac31185387f7f0877fb196080be97d6429bb9daa8023d7e61220fc201"),
    ("lake", "test"): (659, "d6766f41d9c8fea1d2aab9ec6fb357b2f0c84cc80aaf6c4ab5f12016c01f6fa3"),
}


def toy(classes, name="toy"):
    count = len(classes)
    return images.assemble(name, np.zeros((count, 1, 1, 1), np.uint8), np.arange(count), sorted(classes))


def omniglot():
    return toy({name for part in PARTS for name in listed("lake", part)}, "omniglot")


def alphabets(names):
    return {name.split("/")[0] for name in names}


@pytest.mark.parametrize(("split", "part"), LISTS)
def test_the_lists_are_what_they_were(split, part):
    count, digest = LISTS[split, part]
    names = listed(split, part)
    assert len(set(names)) == len(names) == count
    assert hashlib.sha256("".join(f"{name}\n" for name in names).encode()).hexdigest() == digest


@pytest.mark.parametrize("split", ["vinyals", "lake"])
def test_the_parts_are_disjoint_and_hold_every_character(split):
    found = class_split(omniglot(), split)
    assert {part: len(rows) for part, rows in found.items()} == {part: LISTS[split, part][0] for part in PARTS}
    assert sorted(row for rows in found.values() for row in rows) == list(range(1623))
    classes = omniglot().classes
    for part in PARTS:
        assert found[part] == sorted(found[part])
        assert {classes[row] for row in found[part]} == set(listed(split, part))


def test_one_alphabet_of_vinyals_is_in_train_and_test():
    assert alphabets(listed("vinyals", "train")) & alphabets(listed("vinyals", "test")) == {"Gurmukhi"}
    assert not alphabets(listed("vinyals", "validation")) & alphabets(
        listed("vinyals", "train") + listed("vinyals", "test")
    )


def test_no_alphabet_of_lake_is_in_two_parts():
    counts = Counter(alphabet for part in PARTS for alphabet in alphabets(listed("lake", part)))
    assert len(counts) == 50
    assert set(counts.values()) == {1}


@pytest.mark.skipif(not REAL.is_dir(), reason="needs the official zips in METARUN_DATA")
def test_the_lists_follow_the_official_files():
    background, evaluation = (
        sorted({"/".join(n.split("/")[1:3]) for n in zipfile.ZipFile(REAL / f"{part}.zip").namelist() if "png" in n})
        for part in ("images_background", "images_evaluation")
    )
    vinyals = {part: listed("vinyals", part) for part in PARTS}
    assert set(vinyals["train"] + vinyals["validation"]) == set((background + evaluation)[:1200])
    assert set(vinyals["test"]) == set(evaluation[236:])
    assert alphabets(vinyals["validation"]) == {
        "Armenian", "Bengali", "Early_Aramaic", "Hebrew", "Mkhedruli_(Georgian)"
    }  # fmt: skip
    assert set(listed("lake", "test")) == set(evaluation)
    kept = shuffled(sorted(alphabets(background)), 0)[:5]
    assert set(listed("lake", "validation")) == {name for name in background if name.split("/")[0] in kept}


def test_seeded_depends_on_seed_and_names_alone():
    names = [f"bird{i}" for i in range(100)]
    found = class_split(toy(names), "seeded", 3)
    assert {part: len(rows) for part, rows in found.items()} == {"train": 64, "validation": 16, "test": 20}
    assert sorted(row for rows in found.values() for row in rows) == list(range(100))
    np.random.seed(1)
    assert class_split(toy(names[::-1]), "seeded", 3) == found
    assert class_split(toy(names), "seeded", 4) != found
    order = sorted(names, key=lambda name: hashlib.sha256(f"3 {name}".encode()).hexdigest())
    assert {toy(names).classes[row] for row in found["train"]} == set(order[:64])
    assert class_split(toy(names[:10]), "seeded", 0, (0.5, 0, 0.5))["validation"] == []


def test_seeded_is_the_same_in_another_process():
    script = (
        "from metarun.data.images.splits import shuffled; print(','.join(shuffled([str(i) for i in range(50)], 7)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "PYTHONHASHSEED": "12"}, capture_output=True, check=True
    )
    assert found.stdout.decode().strip().split(",") == shuffled([str(i) for i in range(50)], 7)


@pytest.mark.parametrize(
    ("name", "shares", "words"),
    [
        ("vinials", (1, 0, 0), r"dataset\.split=vinials: choose vinyals, lake, seeded\. Did you mean 'vinyals'\?"),
        ("vinyals", (1, 0, 0), r"is of the classes of omniglot, but toy has no 'Alphabet_of_the_Magi/character01'"),
        ("seeded", (0.5, 0.5), r"dataset\.shares=\[0\.5, 0\.5\]: give three shares"),
        ("seeded", (0.5, 0.4, 0.2), "give three shares"),
        ("seeded", (1.5, -0.5, 0), "give three shares"),
        ("seeded", (float("nan"), 0, 0), "give three shares"),
    ],
)
def test_splits_that_cannot_be(name, shares, words):
    with pytest.raises(MetarunError, match=words):
        class_split(toy(["a", "b"]), name, 0, shares)
