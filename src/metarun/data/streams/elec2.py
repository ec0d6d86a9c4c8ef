"""Elec2: does the price of electricity in New South Wales rise or fall against the last day's; Harries, 1999."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from metarun.data.images.official import data_folder
from metarun.data.streamed import Rows
from metarun.errors import MetarunError

NAMES = ("electricity.csv", "electricity.csv.gz", "streams/electricity.csv", "streams/electricity.csv.gz")
FEATURES = ["period", "nswprice", "nswdemand", "vicprice", "vicdemand", "transfer"]
LABEL, ROWS = "class", 45_312
WORDS = {"UP": 1, "DOWN": 0, "1": 1, "0": 0}
HOME = "https://www.openml.org/d/151"


def read(folder: Path | None) -> Rows:
    """Return the 45,312 half hours in the order of time; the label is 1 where the price is up.

    Raises:
        MetarunError: the file is not there, or is another one.
    """
    home = data_folder(folder)
    places = [home / name for name in NAMES if (home / name).is_file()]
    if not places:
        raise MetarunError(
            f"dataset=elec2: no {NAMES[0]} or .csv.gz in {home}: save the table of {HOME} as CSV there (columns "
            f"{', '.join(FEATURES)}, {LABEL}), or name the folder, paths.data=..."
        )
    try:
        table = pd.read_csv(places[0])
    except (OSError, ValueError, EOFError) as error:
        raise MetarunError(f"{places[0]}: cannot be read ({str(error).splitlines()[0]})") from None
    missing = [name for name in [*FEATURES, LABEL] if name not in table]
    if missing or len(table) != ROWS:
        what = f"has no column '{missing[0]}'" if missing else f"has {len(table):,} rows, not {ROWS:,}"
        raise MetarunError(f"{places[0]}: {what}: this is not Elec2 as on {HOME}")
    label = table[LABEL].astype(str).map(WORDS)
    x = table[FEATURES].to_numpy(np.float32, copy=True)
    bad = np.flatnonzero(label.isna().to_numpy() | ~np.isfinite(x).all(1))
    if len(bad):
        raise MetarunError(f"{places[0]} line {bad[0] + 2}: a label that is not UP, DOWN, 1 or 0, or no number")
    y = label.to_numpy(np.int64, copy=True)
    checksum = hashlib.sha256(x.tobytes() + y.tobytes()).hexdigest()
    return Rows(torch.from_numpy(x), torch.from_numpy(y), FEATURES, ["down", "up"], [], "elec2", checksum)
