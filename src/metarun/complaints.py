"""Hydra's complaints, and ours about keys, in one line that says what to type instead."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import yaml
from omegaconf import DictConfig

from metarun import options
from metarun.errors import MetarunError, did_you_mean
from metarun.schema import Known, schema


def typed_as(cfg: DictConfig, path: str) -> str:
    """Return the override that set or deleted `path`, else the experiment's file that set it, else the path."""
    for word in cfg.composed.overrides:
        key = word.lstrip("~").split("=")[0]
        if key == path or (path.startswith(f"{key}.") and key not in options.groups()):
            return str(word.rstrip("=") if word.startswith("~") else word)
    inside = f"{path.removeprefix('experiment.')}."
    for option in cfg.composed.options:
        if option.startswith("experiment/") and any(f"{field.name}.".startswith(inside) for field in schema(option)):
            return f"{option}.yaml: {path}"
    return path


def unknown_key(typed: str, path: str, known: Mapping[str, Known]) -> str:
    """Return the line for a key that no chosen YAML declares; `typed` is what brought it in."""
    parts = path.split(".")
    if parts[0] == "strategy" and len(parts) > 1:
        line = _unknown_strategy(parts[1], known)
        if line:
            return f"{typed}: {line}"
    if parts[0] == "logger" and len(parts) > 1 and parts[1] in options.names("logger"):
        return f"{typed}: this run has no logger '{parts[1]}'; choose it with logger={parts[1]}"
    if parts[0] == "experiment":
        return f"{typed}: an experiment's file has to open with `# @package _global_`"
    inside = [name for name in known if name.startswith(f"{path}.")]
    if inside:
        return f"{typed}: '{path}' is a section, set one of {', '.join(inside)}"
    near = [name for name in known if name.split(".")[0] == parts[0]]
    hint = did_you_mean(path, near) or did_you_mean(path, [*known, *options.groups()])
    files = sorted({known[name].option for name in near}) or [options.ROOT]
    return f"{typed}: there is no field '{path}'.{hint} `metarun show {files[0]}` lists the fields"


def _unknown_strategy(family: str, known: Mapping[str, Known]) -> str | None:
    """Return why nothing can be set under `strategy.<family>`, or None where it can."""
    have = sorted({entry.option.removeprefix("strategy/") for entry in known.values() if "strategy/" in entry.option})
    if any(name.startswith(f"{family}/") for name in have):
        return None
    if family in options.FAMILIES:
        return (
            f"this run has no {family} strategy, it has {', '.join(have)}; "
            f"choose one with strategy={family}/..., or set a method wherever it runs with tuned.<method>.<field>"
        )
    return f"there is no family '{family}' of strategies, there are {', '.join(options.FAMILIES[:-1])}"


def explain(error: Exception, overrides: Sequence[str], known: Mapping[str, Known] | None) -> str:
    """Return Hydra's complaint about `overrides` in one line of ours; `known`: the fields of the chosen options."""
    text = str(error)
    key = re.match(r"Could not override '([^']+)'", text)
    if key and known is not None:
        typed = next((word for word in overrides if word.startswith(f"{key[1]}=")), key[1])
        return unknown_key(typed, key[1], known)
    extra = re.match(r"Could not append to config. An item is already at '([^']+)'", text)
    if extra:
        typed = next(word for word in overrides if word.startswith(f"+{extra[1]}="))
        return f"{typed}: the field exists, drop the plus: {typed[1:]}"
    gone = re.match(r"Could not delete from config. '([^']+)' does not exist", text)
    if gone:
        return f"~{gone[1]}: there is no such field to delete"
    stray = re.match(r"In '(experiment/[^']+)': Could not override '[^']*@experiment", text)
    if stray:
        return f"{stray[1]}.yaml: an experiment's file has to open with `# @package _global_`"
    missing = re.match(r"In '([^']+)': Could not find '([^']+)'", text)
    if missing:
        group, _, name = missing[2].partition("/")
        return f"{missing[1]}.yaml: {options.unknown(group, name)}"
    if isinstance(error, yaml.YAMLError):
        return _broken_yaml(error, overrides)
    reason = " ".join((text or str(error.__cause__)).split("\n")[:2])
    return f"{' '.join(overrides)}: {reason}"


def _broken_yaml(error: yaml.YAMLError, overrides: Sequence[str]) -> str:
    """Return which file of the chosen options is no YAML, and where."""
    for word in overrides:
        option = word.lstrip("+").replace("=", "/", 1)
        try:
            schema(option)
        except MetarunError as complaint:
            if "mend the YAML" in str(complaint):
                return str(complaint)
    mark = getattr(error, "problem_mark", None)
    return (
        f"{' '.join(overrides)}: {getattr(error, 'problem', error)} in line {mark.line + 1 if mark else '?'} of a YAML"
    )
