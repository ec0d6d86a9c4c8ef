"""Labelled rows of any kind, texts, clips, tables: what tasks of new classes and of new groups are cut from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metarun.data import ratings
from metarun.errors import MetarunError

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class LabelledRows:
    """Rows in the order of their file. What a model reads is made of `inputs` by the dataset, which knows its split."""

    name: str  # "clinc150", "table_csv/patients": printed in every table
    checksum: str  # sha256 of everything below
    inputs: NDArray[Any]  # (N, ...) numbers, or (N,) texts
    label: NDArray[Any]  # (N,) int64 index into classes, or float32 numbers where there are no classes
    classes: list[str]  # empty where labels are numbers
    group: Numbers  # (N,) index into groups: whose a row is; all 0 where rows are nobody's
    groups: list[str]  # hospitals, speakers, patients, domains
    official: Mapping[str, Numbers]  # row numbers of an official split by its parts, or {}
    descriptions: NDArray[np.float32] | None  # (classes, A) attributes of each class, None where nothing is known


def assemble(
    name: str,
    inputs: NDArray[Any],
    label: NDArray[Any],
    classes: Sequence[str],
    group: Numbers | None = None,
    groups: Sequence[str] = ("all",),
    official: Mapping[str, Numbers] | None = None,
    descriptions: NDArray[np.float32] | None = None,
) -> LabelledRows:
    """Return the rows with their checksum.

    Raises:
        MetarunError: there are none, or a class or a group is without a row.
    """
    group = np.zeros(len(label), np.int64) if group is None else group
    given = official or {}
    # Texts are hashed as bytes: an array of objects has none of its own.
    told = np.frombuffer("\0".join(inputs).encode(), np.uint8) if inputs.dtype == object else inputs
    arrays = {"inputs": told, "label": label, "group": group, **{f"official.{part}": r for part, r in given.items()}}
    if descriptions is not None:
        arrays["descriptions"] = descriptions
    checksum = ratings.checksum(arrays, {"classes": list(classes), "groups": list(groups)})
    if len(label) == 0:
        raise MetarunError(f"{name}: there is no row in it")
    for kind, names, number in (("class", classes, label), ("group", groups, group)):
        empty = set(range(len(names))) - set(np.unique(number).astype(int).tolist()) if len(names) else set()
        if empty:
            raise MetarunError(f"{name}: {kind} '{names[min(empty)]}' has no row")
    return LabelledRows(name, checksum, inputs, label, list(classes), group, list(groups), given, descriptions)
