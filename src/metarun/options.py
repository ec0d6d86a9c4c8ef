"""Where the YAML files of the options lie and what their headers say: plain text, without Hydra or a YAML parser.

An option is named like its file, "strategy/meta/maml"; "config" is the root. The user's folder comes before ours.
"""

from __future__ import annotations

import importlib
import os
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from metarun.errors import MetarunError, did_you_mean

ROOT = "config"
FAMILIES = ("transfer", "adaptive", "online", "meta", "baseline")
_ORDER = ("experiment", "strategy", "dataset", "backbone", "head", "objective", "pretrain", "pipeline", "evaluate")


class Header(NamedTuple):
    """The comment lines that open a YAML file."""

    command: str
    about: str
    needs: tuple[str, ...]
    offers: tuple[str, ...]
    package: str | None


@cache
def packaged() -> Path:
    """Return the folder of the package metarun.conf."""
    return Path(str(importlib.import_module("metarun.conf").__file__)).parent


def user_folder() -> Path | None:
    """Return the folder that METARUN_CONF names, or None. Raises MetarunError if it is missing."""
    name = os.environ.get("METARUN_CONF")
    if not name:
        return None
    folder = Path(name).expanduser().resolve()
    if not folder.is_dir():
        raise MetarunError(f"METARUN_CONF={name}: no such folder; name the folder of your own configs, or unset it")
    return folder


def folders() -> list[Path]:
    """Return the folders that hold options, the user's first."""
    mine = user_folder()
    return [packaged()] if mine is None else [mine, packaged()]


def groups() -> list[str]:
    """Return the names of the groups, the ones a newcomer asks for first."""
    found = {f.name for folder in folders() for f in folder.iterdir() if f.is_dir() and any(f.rglob("*.yaml"))}
    known = [name for name in _ORDER if name in found]
    return known + sorted(found - set(_ORDER) - {"hydra"})


def names(group: str) -> list[str]:
    """Return the options of a group, as "mf" or "meta/maml", strategies in the order of their families."""
    found = {
        path.relative_to(folder / group).with_suffix("").as_posix()
        for folder in folders()
        for path in (folder / group).rglob("*.yaml")
    }

    def place(name: str) -> tuple[int, str]:
        family = name.split("/")[0]
        return (FAMILIES.index(family) if family in FAMILIES else len(FAMILIES), name)

    return sorted(found, key=place)


def find(option: str) -> Path:
    """Return the file of an option such as "strategy/meta/maml". Raises MetarunError with the closest name."""
    for folder in folders():
        path = folder / f"{option}.yaml"
        if path.is_file():
            return path
    group, _, name = option.partition("/")
    raise MetarunError(f"{option}: {unknown(group, name)}")


def unknown(group: str, name: str) -> str:
    """Return why there is no such option, with the closest one: "there is no ... Did you mean ...?"."""
    if group not in groups():
        return f"there is no group '{group}'.{did_you_mean(group, groups())} `metarun list` names them all"
    known = names(group)
    stems = {Path(option).name: option for option in reversed(known)}
    last = name.split("/")[-1]
    hint = f" Did you mean '{stems[last]}'?" if last in stems else did_you_mean(name, known)
    hint = hint or did_you_mean(last, stems)
    return f"there is no {group} '{name}'.{hint} `metarun list {group}` names them all"


def header(option: str) -> Header:
    """Return what the header of an option's file says."""
    return parse_header(find(option).read_text(encoding="utf-8"), option)


def parse_header(text: str, option: str) -> Header:
    """Return the header of a YAML text; `option` names it in an error."""
    lines: list[str] = []
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            break
        if line.strip():
            lines.append(line.strip().lstrip("#").strip())
    package = None
    if lines and lines[0].startswith("@package"):
        package = lines.pop(0).removeprefix("@package").strip()
    if any(line.startswith("@package") for line in lines):
        raise MetarunError(f"{option}.yaml: `# @package` must be its first line, Hydra reads it nowhere else")
    command = lines.pop(0) if lines and lines[0].startswith("metarun") else ""
    marks: dict[str, tuple[str, ...]] = {"needs": (), "offers": ()}
    prose = []
    for line in lines:
        mark = re.match(r"(needs|offers):\s*(.*)$", line)
        if mark:
            marks[mark[1]] = tuple(part.strip() for part in mark[2].split(",") if part.strip())
        else:
            prose.append(line)
    return Header(command, " ".join(prose), marks["needs"], marks["offers"], package)


def package(option: str) -> str:
    """Return where an option's fields live in the config: "strategy.meta", "backbone", "" for the root.

    Raises MetarunError for a strategy whose file would merge into another family's.
    """
    if option == ROOT:
        return ""
    group, *rest = option.split("/")
    said = header(option).package
    if group == "strategy":
        if len(rest) != 2 or rest[0] not in FAMILIES:
            raise MetarunError(
                f"{option}.yaml: belongs in the folder of its family, strategy/{{{','.join(FAMILIES)}}}/"
            )
        if said != f"strategy.{rest[0]}":
            raise MetarunError(f"{option}.yaml: has to open with `# @package strategy.{rest[0]}`")
    if said is None:
        return group
    return "" if said == "_global_" else said
