"""An example of a user's own files: ratings, items and people, made up, seeded, small."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from metarun import atomic
from metarun.errors import MetarunError

USERS, ITEMS, SEED = 60, 120, 0
GENRES = ("comedy", "crime", "drama", "fantasy", "history", "romance")
COUNTRIES = ("BR", "DE", "IN", "US")
START, STEP = 1_700_000_000, 3_600  # seconds


def write(folder: Path) -> list[Path]:
    """Write ratings.csv, items.csv and users.csv into a folder and return their paths.

    Raises:
        MetarunError: one of them is there already, or the folder cannot be written.
    """
    paths = [folder / name for name in ("ratings.csv", "items.csv", "users.csv")]
    there = [path for path in paths if path.exists()]
    if there:
        raise MetarunError(f"{there[0]} is there already and is not overwritten: move it, or give another folder, --to")
    for path, rows in zip(paths, tables(), strict=True):
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(rows)
        atomic.write_text(path, text.getvalue())
    return paths


def tables() -> tuple[list[Sequence[object]], list[Sequence[object]], list[Sequence[object]]]:
    """Return the rows of the three files, header first: tastes for genres, with noise, 40 to 60 ratings a user."""
    rng = np.random.default_rng(SEED)
    genre = [sorted(rng.choice(len(GENRES), rng.integers(1, 3), replace=False)) for _ in range(ITEMS)]
    taste, quality = rng.normal(0, 0.8, (USERS, len(GENRES))), rng.normal(0, 0.5, ITEMS)
    rated: list[tuple[int, list[object]]] = []
    for user in range(USERS):
        start = START + int(rng.integers(0, 365 * 24)) * STEP
        for place, item in enumerate(rng.choice(ITEMS, rng.integers(40, 61), replace=False)):
            liked = 3.3 + taste[user, genre[item]].mean() + quality[item] + rng.normal(0, 0.5)
            time = start + place * STEP
            rated.append((time, [f"u{user + 1:03}", item + 1, int(np.clip(round(liked), 1, 5)), time]))
    items = [
        [i + 1, f"Example {i + 1}", "|".join(GENRES[g] for g in genre[i]), int(rng.integers(1960, 2024))]
        for i in range(ITEMS)
    ]
    users = [[f"u{u + 1:03}", int(rng.integers(18, 70)), str(rng.choice(COUNTRIES))] for u in range(USERS)]
    ratings = [row for _, row in sorted(rated, key=lambda pair: pair[0])]
    return (
        [["user_id", "item_id", "rating", "timestamp"], *ratings],
        [["item_id", "title", "genres", "year"], *items],
        [["user_id", "age", "country"], *users],
    )
