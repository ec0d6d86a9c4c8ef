"""Values that a dataset holds for a method, `tuned.<method>.<field>`, and grids that validation searches, `tune`."""

from __future__ import annotations

import re
from typing import Any

from omegaconf import DictConfig, OmegaConf

from metarun import options
from metarun.errors import MetarunError, did_you_mean
from metarun.schema import SPECIAL, problem, schema, show

GRID = 24
"""The most points that a `tune` grid may have."""
_TUNED = re.compile(r"dataset\.tuned\.([\w-]+)\.(\w+)")


def source(cfg: DictConfig, raw: str) -> str | None:
    """Return the tuned key that an interpolation took its value from, as the user types it."""
    for method, name in _TUNED.findall(raw):
        if OmegaConf.select(cfg, f"dataset.tuned.{method}.{name}") is not None:
            return f"tuned.{method}.{name}"
    return None


def check_grid(path: str, grid: dict[str, Any], option: str) -> None:
    """Check a `tune` grid: fields of the method, values that they allow, at most 24 points."""
    declared = {field.name: field for field in schema(option)}
    size = 1
    for name, values in grid.items():
        if name not in declared or name == "tune" or name in SPECIAL:
            names = [known for known in declared if known != "tune" and known not in SPECIAL]
            raise MetarunError(
                f"{path}.{name}: {option} has no field '{name}'.{did_you_mean(name, names)} It has {', '.join(names)}"
            )
        if not isinstance(values, list) or not values:
            raise MetarunError(f"{path}.{name}={show(values)}: wrong type, give a list of values to try")
        for value in values:
            wrong = problem(declared[name].spec, value)
            if wrong:
                raise MetarunError(f"{path}.{name}={show(value)}: {wrong}")
        size *= len(values)
    if size > GRID:
        raise MetarunError(
            f"{path}: has {size} points, at most {GRID} are allowed so that every method has equal trials"
        )


def tuned_fields() -> dict[str, dict[str, list[str]]]:
    """Return the tuned keys that any option reads: method -> field -> options that read it."""
    found: dict[str, dict[str, list[str]]] = {}
    for group in options.groups():
        for name in options.names(group) if group != "experiment" else []:
            option = f"{group}/{name}"
            for method, field in _TUNED.findall(options.find(option).read_text(encoding="utf-8")):
                found.setdefault(method, {}).setdefault(field, []).append(option)
    return found


def check_tuned(cfg: DictConfig) -> None:
    """Refuse a tuned key that no method reads: it would be ignored without a word."""
    tuned = OmegaConf.select(cfg, "dataset.tuned")
    if not isinstance(tuned, DictConfig):
        return
    read = tuned_fields()
    for key, values in tuned.items():
        method = str(key)
        if method not in read:
            raise MetarunError(
                f"tuned.{method}: no method '{method}' reads tuned values.{did_you_mean(method, read)} "
                f"There are {', '.join(sorted(read))}"
            )
        known = list(read[method])
        if not isinstance(values, DictConfig):
            raise MetarunError(f"tuned.{method}={values}: set a field, tuned.{method}.{known[0]}=...")
        for field in map(str, values):
            if field not in known:
                raise MetarunError(
                    f"tuned.{method}.{field}: {method} reads no tuned '{field}'.{did_you_mean(field, known)} "
                    f"It reads {', '.join(known)}"
                )
