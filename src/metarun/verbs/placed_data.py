"""`metarun data list`: official files that are placed into the data folder by hand."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Placed(NamedTuple):
    """A dataset that is not downloaded for the user."""

    name: str  # dataset=NAME
    what: str
    files: tuple[str, ...]  # in the data folder, one of which is enough
    home: str


PLACED = (
    Placed("chinese_sentiment", "62,773 Chinese reviews of ten kinds of products",
           ("chinese-sentiment/online_shopping_10_cats.zip", "chinese-sentiment/online_shopping_10_cats.csv"),
           "https://github.com/SophonPlus/ChineseNlpCorpus, folder datasets/online_shopping_10_cats"),
    Placed("clinc150", "22,500 questions, 150 intents", ("clinc150/data_full.json",),
           "https://github.com/clinc/oos-eval, folder data"),
    Placed("elec2", "45,312 half hours of electricity prices",
           ("electricity.csv", "electricity.csv.gz", "streams/electricity.csv", "streams/electricity.csv.gz"),
           "https://www.openml.org/d/151"),
    Placed("heart_disease", "920 people of four hospitals", ("heart-disease-uci/processed.cleveland.data",),
           "https://archive.ics.uci.edu/dataset/45/heart+disease"),
    Placed("parkinsons", "5,875 recordings of 42 patients", ("parkinsons-telemonitoring/parkinsons_updrs.data",),
           "https://archive.ics.uci.edu/dataset/189/parkinsons+telemonitoring"),
    Placed("spoken_digits", "3,000 clips of six speakers; also spoken_words, speaker_drift, spoken_written_digits",
           ("free-spoken-digit-dataset/recordings.zip", "free-spoken-digit-dataset/recordings"),
           "https://github.com/Jakobovski/free-spoken-digit-dataset"),
)  # fmt: skip


def rows(home: Path) -> list[tuple[str, str]]:
    """Return each dataset with what it is, and whether it is in the data folder `home` or where it is from."""
    found = []
    for name, what, files, source in PLACED:
        there = next((home / file for file in files if (home / file).exists()), None)
        found.append((name, f"{what}; " + (f"here: {there}" if there else f"not here; {source}, as {home / files[0]}")))
    return found
