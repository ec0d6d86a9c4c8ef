"""What was typed behind `metarun`: Hydra's flags and overrides, checked against what exists before Hydra sees them.

Every refusal is one line that repeats what was typed, says what is allowed and what to type instead.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import NamedTuple

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.types import Override, OverrideType, ValueType
from hydra.core.plugins import Plugins

from metarun import options
from metarun.errors import MetarunError, did_you_mean
from metarun.overrides import chosen, expand, none_chosen, one_per_family, parse, unfold, values
from metarun.schema import default_groups

MULTIRUN = ("-m", "--multirun")
_PLAIN = (*MULTIRUN, "-r", "--run", "--resolve", "--hydra-help", "--shell-completion", "-sc")
_VALUED = ("-c", "--cfg", "-p", "--package", "-i", "--info")
_PLUGINS = {"submitit": "hydra-submitit-launcher", "joblib": "hydra-joblib-launcher", "optuna": "hydra-optuna-sweeper"}
_REFUSED = ("--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd", "--experimental-rerun")


class CommandLine(NamedTuple):
    """Hydra's flags and the overrides of one command."""

    flags: list[str]
    overrides: list[str]

    @property
    def multirun(self) -> bool:
        """True for a sweep."""
        return any(flag in MULTIRUN for flag in self.flags) or "hydra.mode=MULTIRUN" in self.overrides

    @property
    def inspects(self) -> bool:
        """True where Hydra only prints something."""
        return any(flag not in (*MULTIRUN, "-r", "--run") for flag in self.flags)


def read(argv: Sequence[str]) -> CommandLine:
    """Split a command into Hydra's flags and overrides. Raises MetarunError for a flag that metarun does not have."""
    flags: list[str] = []
    typed: list[str] = []
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        name = word.split("=")[0] if word.startswith("-") else word
        if not word.startswith("-"):
            typed.append(word)
        elif name in _REFUSED:
            raise MetarunError(f"{word}: metarun takes configs from its own package and from the folder METARUN_CONF")
        elif word in _PLAIN:
            flags.append(word)
        elif name in _VALUED:
            flags.append(word)
            if "=" not in word and rest and "=" not in rest[0]:
                flags.append(rest.pop(0))
        else:
            known = ["--help", "--version", *_PLAIN, *_VALUED]
            raise MetarunError(
                f"{word}: there is no such flag.{did_you_mean(word, known)} metarun --help names them all"
            )
    return CommandLine(flags, typed)


def check(line: CommandLine) -> list[str]:
    """Return the overrides as Hydra takes them, short forms spelled out. Raises MetarunError for a wrong one."""
    checked = []
    for word in line.overrides:
        override = parse(word)
        _sweep(override, word, line)
        if override.value_type == ValueType.GLOB_CHOICE_SWEEP:
            word = unfold(override, word)
            override = parse(word)
        if override.package or ("/" in override.key_or_group and not override.is_hydra_override()):
            raise MetarunError(f"{word}: {_group_hint(override)}")
        if override.key_or_group in options.groups():
            _group(override, word, line)
        elif override.is_hydra_override():
            _hydra(override, word, line)
        checked.extend(expand(word))
    return checked


def _sweep(override: Override, word: str, line: CommandLine) -> None:
    key, _, value = word.partition("=")
    if override.is_sweep_override() and not line.multirun and not line.inspects:
        again = shlex.join(["metarun", "-m", *line.flags, *line.overrides])
        either = f"one text is written \"{key}='{value}'\", a list {key}=[{value}]"
        raise MetarunError(f"{word}: several values are a sweep, add -m: {again} ({either})")
    if override.is_interval_sweep() and not any(part.startswith("hydra/sweeper=") for part in line.overrides):
        raise MetarunError(
            f"{word}: an interval needs a sweeper that searches, hydra/sweeper=...; or give values: {key}=a,b"
        )
    if override.is_sweep_override() and override.is_hydra_override():
        raise MetarunError(f"{word}: Hydra's own settings take one value")


def _hydra(override: Override, word: str, line: CommandLine) -> None:
    key = override.key_or_group
    if key == "hydra.searchpath":
        raise MetarunError(f"{word}: name the folder of your own configs in METARUN_CONF instead")
    part = re.match(r"hydra[./](launcher|sweeper)", key)
    if part and not line.multirun and not line.inspects:
        again = shlex.join(["metarun", "-m", *line.flags, *line.overrides])
        raise MetarunError(f"{word}: a {part[1]} serves sweeps only, add -m: {again}")
    if part and key == f"hydra/{part[1]}":
        _plugin(part[1], str(override.value()), word)


def _plugin(kind: str, name: str, word: str) -> None:
    """Raise MetarunError for a launcher or a sweeper that is not installed."""
    Plugins.instance()  # finds what is installed
    known = [entry.removesuffix(".yaml") for entry in ConfigStore.instance().repo["hydra"][kind]]
    known += [path.stem for folder in options.folders() for path in (folder / "hydra" / kind).glob("*.yaml")]
    if name in known:
        return
    package = next((package for start, package in _PLUGINS.items() if name.startswith(start)), None)
    if package:
        raise MetarunError(f"{word}: needs the plugin: pip install {package}")
    raise MetarunError(f"{word}: there is no {kind} '{name}'; installed: {', '.join(known)}")


def _group(override: Override, word: str, line: CommandLine) -> None:
    """Check an override of a group: the sign before it, the options it names, one strategy per family."""
    group = override.key_or_group
    defaults = default_groups()
    if group not in defaults and override.type in (OverrideType.CHANGE, OverrideType.FORCE_ADD):
        fixed = [f"+{part.lstrip('+')}" if part == word else part for part in line.overrides]
        again = shlex.join(["metarun", *line.flags, *fixed])
        article = "an" if group[0] in "aeiou" else "a"
        raise MetarunError(f"{word}: {article} {group} is added with a plus. Did you mean {again}?")
    if group in defaults and override.is_delete():
        raise MetarunError(f"{word}: {none_chosen(group)}")
    if group in defaults and override.type != OverrideType.CHANGE:
        raise MetarunError(f"{word}: there is one already, drop the plus: {word.lstrip('+')}")
    if override.is_delete():
        return
    for text in values(override):
        names = chosen(text)
        if (not names and group != "strategy") or any(name in ("", "null") for name in names):
            raise MetarunError(f"{word}: {none_chosen(group)}")
        for name in names:
            if name not in options.names(group):
                raise MetarunError(f"{word}: {options.unknown(group, name)}")
        if group == "strategy":
            one_per_family(names, word)


def _group_hint(override: Override) -> str:
    group, _, rest = override.key_or_group.partition("/")
    if override.package:
        return f"metarun has no group@package; write {group}=..."
    if group in options.groups():
        return f"write {group}={rest}/{override.value()}"
    return f"there is no group '{group}'.{did_you_mean(group, options.groups())} `metarun list` names them all"
