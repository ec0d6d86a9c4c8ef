"""What was typed behind `metarun`: Hydra's flags and overrides, checked against what exists before Hydra sees them.

Every refusal is one line that repeats what was typed, says what is allowed and what to type instead.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Sequence
from typing import NamedTuple

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.types import Override, OverrideType, ValueType
from hydra.core.plugins import Plugins

from metarun import options
from metarun.errors import MetarunError, did_you_mean
from metarun.overrides import SPACE, chosen, expand, group, none_chosen, one_per_family, parse, searches, unfold, values
from metarun.schema import SPECIAL, Field, default_groups, problem, schema

MULTIRUN = ("-m", "--multirun")
_PLAIN = (*MULTIRUN, "-r", "--run", "--resolve", "--hydra-help", "--shell-completion", "-sc")
_VALUED = ("-c", "--cfg", "-p", "--package", "-i", "--info")
DRY = "--dry-run"
_IMPLIED = ("hydra/launcher", "hydra/sweeper", "sweep")
"""Groups that serve sweeps alone: choosing one of them asks for a sweep."""
_PLUGINS = {"optuna": "metarun[sweep]"}
_REFUSED = ("--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd", "--experimental-rerun")


class CommandLine(NamedTuple):
    """Hydra's flags and the overrides of one command; `dry`: its jobs are shown, not run."""

    flags: list[str]
    overrides: list[str]
    dry: bool = False

    @property
    def multirun(self) -> bool:
        """True for a sweep."""
        return any(flag in MULTIRUN for flag in self.flags) or "hydra.mode=MULTIRUN" in self.overrides

    @property
    def inspects(self) -> bool:
        """True where Hydra only prints something."""
        return self.dry or any(flag not in (*MULTIRUN, "-r", "--run") for flag in self.flags)


def read(argv: Sequence[str]) -> CommandLine:
    """Split a command into Hydra's flags and overrides. Raises MetarunError for a flag that metarun does not have.

    A launcher, a sweeper or a search space asks for a sweep, so -m is added to it.
    """
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
        elif word in (*_PLAIN, DRY):
            flags.append(word)
        elif name in _VALUED:
            flags.append(word)
            if "=" not in word and rest and "=" not in rest[0]:
                flags.append(rest.pop(0))
        else:
            known = ["--help", "--version", DRY, *_PLAIN, *_VALUED]
            raise MetarunError(
                f"{word}: there is no such flag.{did_you_mean(word, known)} metarun --help names them all"
            )
    line = CommandLine([flag for flag in flags if flag != DRY], typed, DRY in flags)
    implied = [word for word in typed if word.lstrip("+").split("=")[0] in _IMPLIED and not word.endswith("=basic")]
    if implied and not line.multirun and not line.inspects:
        print(f"{implied[0]} is for sweeps: -m is added", file=sys.stderr)
    return line._replace(flags=["-m", *line.flags]) if implied and not line.multirun else line


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
    if override.is_interval_sweep() and not searches(line.overrides):
        raise MetarunError(
            f"{word}: an interval needs a sweeper that searches, hydra/sweeper=optuna; or give values: {key}=a,b"
        )
    if override.is_sweep_override() and override.is_hydra_override():
        raise MetarunError(f"{word}: Hydra's own settings take one value")


def _hydra(override: Override, word: str, line: CommandLine) -> None:
    key = override.key_or_group
    if key == "hydra.searchpath":
        raise MetarunError(f"{word}: name the folder of your own configs in METARUN_CONF instead")
    part = re.match(r"hydra[./](launcher|sweeper)", key)
    if part and not line.multirun and not line.inspects:  # a field of one, hydra.launcher.n_jobs=2, without the other
        again = shlex.join(["metarun", "-m", *line.flags, *line.overrides])
        raise MetarunError(f"{word}: a {part[1]} serves sweeps only, add -m: {again}")
    if part and key == f"hydra/{part[1]}":
        _plugin(part[1], str(override.value()), word)
    elif part and override.type == OverrideType.CHANGE and key.count(".") > 1:
        _field(part[1], override, word, line)


def _field(kind: str, override: Override, word: str, line: CommandLine) -> None:
    """Raise MetarunError for a field that the chosen launcher or sweeper does not have, or a value that is wrong."""
    picks = [other.split("=", 1)[1] for other in line.overrides if other.startswith(f"hydra/{kind}=")]
    if kind == "sweeper" and any(group(other) == SPACE for other in line.overrides):
        picks.append("optuna")
    option = f"hydra/{kind}/{(picks or ['basic'])[-1]}"
    name = override.key_or_group.split(".", 2)[2]
    if not any((folder / f"{option}.yaml").is_file() for folder in options.folders()):
        if picks:
            return  # a plugin's own, which Hydra checks
        raise MetarunError(f"{word}: belongs to a {kind}, choose one with hydra/{kind}=...")
    fields = {field.name: field for field in schema(option)}
    if fields.get(name.split(".")[0], Field("", None, "", "")).spec.startswith("dict"):  # its keys are SLURM's
        return
    if name not in fields:
        known = ", ".join(field for field in fields if field not in SPECIAL)
        raise MetarunError(f"{word}: {option} has no field '{name}'.{did_you_mean(name, fields)} It has {known}")
    wrong = problem(fields[name].spec, override.value()) if not override.is_sweep_override() else None
    if wrong:
        raise MetarunError(f"{word}: {wrong}")


def _plugin(kind: str, name: str, word: str) -> None:
    """Raise MetarunError for a launcher or a sweeper that there is not, or whose plugin is not installed."""
    Plugins.instance()  # finds what is installed
    installed = [entry.removesuffix(".yaml") for entry in ConfigStore.instance().repo["hydra"][kind]]
    known = [path.stem for folder in options.folders() for path in (folder / "hydra" / kind).glob("*.yaml")]
    known = sorted({*known, *installed})
    package = next((package for start, package in _PLUGINS.items() if name.startswith(start)), None)
    if name in known and (package is None or name in installed):
        return
    if package:
        raise MetarunError(f"{word}: needs a plugin: pip install '{package}'")
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
    if group == SPACE:
        _plugin("sweeper", "optuna", word)
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
