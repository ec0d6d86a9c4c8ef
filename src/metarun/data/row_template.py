"""Examples of a user's own table, texts and clips: made up, seeded, small."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from metarun import atomic
from metarun.errors import MetarunError

CLINICS = ("north", "south", "east", "west", "harbour", "hill")
PEOPLE, TEXTS = 60, 12
ASKED = {
    "refund": ("where is my refund", "money back please", "refund of order {}"),
    "delivery": ("when does parcel {} arrive", "delivery is late", "where is my parcel"),
    "password": ("new password please", "cannot log in", "reset my password"),
    "invoice": ("send me invoice {}", "a copy of the bill", "invoice is wrong"),
    "cancel": ("cancel order {}", "end my contract", "stop the subscription"),
    "opening": ("when do you open", "open on sunday {}", "opening hours please"),
    "return": ("return an item", "how to send {} back", "wrong size, return it"),
    "voucher": ("voucher {} does not work", "redeem a voucher", "discount code is invalid"),
    "address": ("change my address", "new street, number {}", "moved, update my address"),
    "colour": ("is it there in colour {}", "other colours please", "the colour is wrong"),
}


FILES = {
    "table": "patients.csv", "texts": "texts.csv", "clips": "words", "speakers": "people", "inputs": "things",
}  # fmt: skip
"""What is written, by kind: a file, or a folder of files."""


def write(kind: str, folder: Path) -> Path:
    """Write an example of a kind, see FILES, into a folder and return the path that a run is given.

    Raises:
        MetarunError: it is there already, or the folder cannot be written.
    """
    path = folder / FILES[kind]
    if path.exists():
        raise MetarunError(f"{path} is there already and is not overwritten: move it, or give another folder, --to")
    if kind in ("clips", "speakers"):
        from metarun.data.audio import template

        template.write(path, kind == "speakers")
        return path
    if kind == "inputs":
        from metarun.data import inputs_template

        return inputs_template.write(path)
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(people() if kind == "table" else texts())
    atomic.write_text(path, text.getvalue())
    return path


def people() -> list[Sequence[object]]:
    """Return people of six clinics, header first; the old and those who smoke are ill, with other weights in each."""
    rng = np.random.default_rng(0)
    rows: list[Sequence[object]] = [["age", "smokes", "pressure", "clinic", "ill"]]
    for clinic in CLINICS:
        shift = rng.normal(0, 0.5)
        for _ in range(PEOPLE):
            age, smokes, pressure = int(rng.integers(20, 85)), bool(rng.random() < 0.3), int(rng.normal(125, 15))
            ill = (age - 55) / 15 + smokes + shift + rng.normal(0, 0.7) > 0
            known = "" if rng.random() < 0.1 else pressure
            rows.append([age, "yes" if smokes else "no", known, clinic, "ill" if ill else "well"])
    return rows


def texts() -> list[Sequence[object]]:
    """Return what customers write, header first, with what they want."""
    rows: list[Sequence[object]] = [["text", "label"]]
    for label, asked in ASKED.items():
        rows += [[asked[number % len(asked)].format(number), label] for number in range(TEXTS)]
    return rows
