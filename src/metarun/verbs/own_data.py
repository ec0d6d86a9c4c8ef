"""`metarun data template` and `metarun data check FILE --as ratings`: files of the user's own."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from metarun.errors import MetarunError, did_you_mean

KINDS = ("ratings",)


def template(kind: str, folder: Path) -> list[str]:
    """Write an example and return what to say. Raises MetarunError where a file of its is there already."""
    _known(kind, "template")
    from metarun.data import template as example

    paths = example.write(folder)
    words = zip(("path", "items", "users"), paths, strict=True)
    options = [shlex.quote(f"dataset.{name}={_word(path)}") for name, path in words]
    return [
        f"wrote {', '.join(map(str, paths))}: made-up ratings, to be replaced by yours",
        f"look at them: metarun data check {shlex.quote(str(paths[0]))} --as ratings {' '.join(options[1:])}",
        f"run on them:  metarun +experiment=ratings {' '.join(options)}",
    ]


def check(path: str, kind: str, words: Sequence[str]) -> list[str]:
    """Read a file as a run would, under the same options, and return what there is to say.

    Raises:
        MetarunError: a word that is no option of the dataset, or whatever is wrong in the files.
    """
    _known(kind, "check --as")
    from omegaconf import OmegaConf

    from metarun import config
    from metarun.data import own_check, own_ratings
    from metarun.data.own import Description

    known = [field.name for field in config.schema("dataset/ratings_csv")]
    overrides = [f"dataset.path={_word(Path(path))}"]
    for word in words:
        name = word.partition("=")[0].removeprefix("dataset.")
        if "=" not in word or name.partition(".")[0] not in known:
            raise MetarunError(
                f"{word}: is no option of the data, such as dataset.user=COLUMN.{did_you_mean(name, known)} "
                "`metarun show dataset/ratings_csv` lists them"
            )
        overrides.append(f"dataset.{word.removeprefix('dataset.')}")
    cfg = config.compose(["dataset=ratings_csv", *overrides])
    plain = OmegaConf.to_container(cfg.dataset, resolve=True)
    assert isinstance(plain, dict)
    given = Description(**{field.name: plain[field.name] for field in fields(Description)})
    return own_check.lines(own_ratings.read(given), plain["supports"], plain["queries"], overrides)


def _known(kind: str, verb: str) -> None:
    if kind not in KINDS:
        raise MetarunError(f"metarun data {verb} {kind}: there is only {', '.join(KINDS)}.{did_you_mean(kind, KINDS)}")


def _word(path: Path) -> str:
    """Return a path as Hydra reads it, in quotes where it holds what Hydra's grammar takes for more than text."""
    text = str(path)
    if re.fullmatch(r"[\w./\-]+", text):
        return text
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
