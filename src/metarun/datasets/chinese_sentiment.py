"""Chinese reviews of new kinds of products as a dataset of runs."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from metarun.data.grouped_text import GroupedText
from metarun.data.images.official import data_folder
from metarun.data.labelled import LabelledRows, assemble
from metarun.errors import MetarunError

FOLDER, NAME = "chinese-sentiment", "online_shopping_10_cats"
COLUMNS = ["cat", "label", "review"]
HOME = "https://github.com/SophonPlus/ChineseNlpCorpus, folder datasets/online_shopping_10_cats"
CLASSES = ["negative", "positive"]
PRODUCTS = {
    "书籍": "books", "平板": "tablets", "手机": "phones", "水果": "fruit", "洗发水": "shampoo", "热水器": "heaters",
    "蒙牛": "milk", "衣服": "clothes", "计算机": "computers", "酒店": "hotels",
}  # fmt: skip
"""What a command line takes without quotes."""


class ChineseSentiment(GroupedText):
    """62,773 reviews of ten kinds of products, bad or good; a kind of product is a task. ChineseNlpCorpus."""

    kind = "product"

    def __init__(self, folder: str | None, **view: Any) -> None:
        """folder: of datasets; view: see `GroupedText`."""
        super().__init__(**view)
        self.folder = Path(folder) if folder else None

    def read(self) -> LabelledRows:
        """Return the reviews; those without a text are left out."""
        home = data_folder(self.folder) / FOLDER
        rows = [(PRODUCTS.get(k, k), int(label), text.strip()) for k, label, text in parsed(home) if text.strip()]
        if not rows:
            raise MetarunError(f"{home / NAME}: has no review: fetch it again from {HOME}")
        products = sorted({kind for kind, _, _ in rows})
        where = {name: place for place, name in enumerate(products)}
        return assemble(
            FOLDER,
            np.array([text for _, _, text in rows], dtype=object),
            np.array([label for _, label, _ in rows], np.int64),
            CLASSES,
            np.array([where[kind] for kind, _, _ in rows], np.int64),
            products,
        )


def parsed(home: Path) -> Iterator[list[str]]:
    """Yield the rows of the packed or unpacked table. Raises MetarunError where it is missing, damaged or another."""
    packed, plain = home / f"{NAME}.zip", home / f"{NAME}.csv"
    try:
        if plain.is_file():
            path, content = plain, plain.read_bytes()
        else:
            path = packed
            with zipfile.ZipFile(packed) as archive:
                content = archive.read(f"{NAME}.csv")
        text = content.decode("utf-8-sig")
    except FileNotFoundError:
        raise MetarunError(
            f"chinese_sentiment: neither {plain.name} nor {packed.name} is in {home}: download it from {HOME}, and put "
            f"it there, or set METARUN_DATA (paths.data) to the folder that has {FOLDER}/{packed.name}"
        ) from None
    except (zipfile.BadZipFile, KeyError, UnicodeDecodeError, OSError) as error:
        raise MetarunError(f"{path}: is damaged ({error}): fetch it again from {HOME}") from None
    lines = csv.reader(io.StringIO(text, newline=""))
    if next(lines, None) != COLUMNS:
        raise MetarunError(f"{path} line 1: has other columns than {', '.join(COLUMNS)}: fetch it again from {HOME}")
    for row in lines:
        if len(row) != len(COLUMNS) or row[1] not in ("0", "1"):
            raise MetarunError(f"{path} line {lines.line_num}: is no row of {', '.join(COLUMNS)}: fetch it from {HOME}")
        yield row
