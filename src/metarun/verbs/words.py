"""What is typed after `metarun data check FILE --as KIND`, as overrides of a run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from metarun.errors import MetarunError, did_you_mean


def overrides(dataset: str, path: str, words: Sequence[str], example: str) -> list[str]:
    """Return the overrides of a dataset that reads a path, "dataset." being understood before each word.

    Raises:
        MetarunError: a word that is no option of the dataset.
    """
    from metarun import config

    known = [field.name for field in config.schema(f"dataset/{dataset}")]
    found = [f"dataset.path={quoted(Path(path))}"]
    for word in words:
        name = word.partition("=")[0].removeprefix("dataset.")
        if "=" not in word or name.partition(".")[0] not in known:
            raise MetarunError(
                f"{word}: is no option of the data, such as {example}.{did_you_mean(name, known)} "
                f"`metarun show dataset/{dataset}` lists them"
            )
        found.append(f"dataset.{word.removeprefix('dataset.')}")
    return found


def quoted(path: Path) -> str:
    """Return a path as Hydra reads it, in quotes where it holds what Hydra's grammar takes for more than text."""
    text = str(path)
    if re.fullmatch(r"[\w./\-]+", text):
        return text
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
