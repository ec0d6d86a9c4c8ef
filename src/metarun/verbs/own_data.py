"""`metarun data template` and `metarun data check PATH --as KIND`: files of the user's own."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path

from metarun.errors import MetarunError, did_you_mean
from metarun.verbs import row_data
from metarun.verbs.words import overrides, quoted

TEMPLATES = ("ratings", "table", "texts", "clips", "speakers", "inputs")
KINDS = ("ratings", "images", "table", "texts", "clips", "speakers", "inputs")


def template(kind: str, folder: Path) -> list[str]:
    """Write an example and return what to say. Raises MetarunError where a file of its is there already."""
    _known(kind, "template", TEMPLATES)
    if kind in row_data.KINDS:
        return row_data.template(kind, folder)
    from metarun.data import template as example

    paths = example.write(folder)
    words = zip(("path", "items", "users"), paths, strict=True)
    options = [shlex.quote(f"dataset.{name}={quoted(path)}") for name, path in words]
    return [
        f"wrote {', '.join(map(str, paths))}: made-up ratings, to be replaced by yours",
        f"look at them: metarun data check {shlex.quote(str(paths[0]))} --as ratings {' '.join(options[1:])}",
        f"run on them:  metarun +experiment=ratings {' '.join(options)}",
    ]


def check(path: str, kind: str, words: Sequence[str]) -> Iterable[str]:
    """Read what a user has as a run would, under the same options, and return what there is to say.

    Raises:
        MetarunError: a word that is no option of the dataset, or whatever is wrong in the files.
    """
    _known(kind, "check --as", KINDS)
    if kind in row_data.KINDS:
        return row_data.check(path, kind, words)
    if kind == "images":
        from metarun.verbs import image_data

        return image_data.check_folder(path, words)
    return _ratings(path, words)


def _ratings(path: str, words: Sequence[str]) -> list[str]:
    from omegaconf import OmegaConf

    from metarun import config
    from metarun.data import own_check, own_ratings
    from metarun.data.own import Description

    given = overrides("ratings_csv", path, words, "dataset.user=COLUMN")
    cfg = config.compose(["dataset=ratings_csv", *given])
    plain = OmegaConf.to_container(cfg.dataset, resolve=True)
    assert isinstance(plain, dict)
    description = Description(**{field.name: plain[field.name] for field in fields(Description)})
    return own_check.lines(own_ratings.read(description), plain["supports"], plain["queries"], given)


def _known(kind: str, verb: str, known: Sequence[str]) -> None:
    if kind not in known:
        only = f"{', '.join(known[:-1])} and {known[-1]}"
        raise MetarunError(f"metarun data {verb} {kind}: there is only {only}.{did_you_mean(kind, known)}")
