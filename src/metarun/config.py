"""From overrides to a validated config: Hydra composes, the packaged YAML is the schema. Nothing here imports torch."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import setup_globals
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from metarun import options, search_path
from metarun.commandline import CommandLine, check
from metarun.complaints import explain
from metarun.errors import MetarunError
from metarun.loading import load_option
from metarun.overrides import parse
from metarun.schema import Field, parents, schema
from metarun.validation import fields, validate

__all__ = ["Field", "compose", "load_option", "run_folder", "run_id", "schema", "strategies", "validate"]

MODULE = "pkg://metarun.conf"
FOLDER = "METARUN_FOLDER"
"""The variable that tells a process the folder of its run: one of several, or a job, which may begin more than once."""
_ELSEWHERE = ("resume", "paths", "logger", "hydra", "sweep")
"""What does not change a result, so it is no part of a run's id."""
_NAMING = ("experiment", "name", "paths")
_homes: dict[tuple[str, ...], Path] = {}


class _Loader(ConfigLoaderImpl):
    """Hydra's loader, which also remembers the files it merged: its own `choices` forget lists of options.

    `grids`: those that an override adds a field to.
    """

    chosen: tuple[str, ...] = ()
    grids: frozenset[str] = frozenset()

    def _compose_config_from_defaults_list(self, defaults: Any, repo: Any) -> DictConfig:
        self.chosen = tuple(d.config_path for d in defaults if d.config_path and not d.config_path.startswith("hydra/"))
        cfg = super()._compose_config_from_defaults_list(defaults, repo)
        for grid in self.grids:  # what stands for a grid cannot be added to
            found = OmegaConf.select(cfg, grid)
            if isinstance(found, dict | DictConfig):
                OmegaConf.update(cfg, grid, found, merge=False)
        return cfg


def compose(overrides: Sequence[str]) -> DictConfig:
    """Return the validated config of one run, with a node `composed` that names its options and overrides.

    Raises MetarunError with one line that says what to change.
    """
    checked = check(CommandLine([], list(overrides)))
    cfg = _load(checked)
    validate(cfg)
    return cfg


def _load(checked: Sequence[str]) -> DictConfig:
    register()
    version.setbase("1.3")
    options.user_folder()
    loader = _Loader(create_config_search_path(MODULE))
    keys = (re.match(r"(strategy\..+\.tune)\.", parse(word).key_or_group) for word in checked)
    loader.grids = frozenset(key[1] for key in keys if key)
    try:
        cfg = loader.load_configuration(options.ROOT, list(checked), RunMode.RUN)
    except (HydraException, OmegaConfBaseException, yaml.YAMLError, ValueError) as error:
        groups = [word for word in checked if parse(word).key_or_group in options.groups()]
        plain = fields(_load(groups).composed.options) if len(groups) < len(checked) else None
        raise MetarunError(explain(error, checked, plain)) from None
    chosen = [name for name in dict.fromkeys(loader.chosen) if name != options.ROOT]
    # An option that builds on another one is one choice.
    built_on = {parent for name in chosen for parent in parents(name)}
    with open_dict(cfg):
        del cfg["hydra"]
        cfg.composed = {
            "options": [name for name in chosen if name not in built_on],
            "overrides": _identity(checked),
        }
    return cfg


def register() -> None:
    """Tell Hydra of our resolver `run_id` and of the user's config folder; a second call changes nothing."""
    setup_globals()
    search_path.register()
    OmegaConf.register_new_resolver("run_id", _resolve_run_id, replace=True)


def strategies(cfg: DictConfig) -> list[str]:
    """Return the chosen strategies by name, as "meta/maml"."""
    return [name.removeprefix("strategy/") for name in cfg.composed.options if name.startswith("strategy/")]


def run_id(overrides: Iterable[str]) -> str:
    """Return 8 hex digits of the sorted overrides, less those that change no result (resume, paths, logger, hydra)."""
    return hashlib.sha256("\n".join(_identity(overrides)).encode()).hexdigest()[:8]


def _identity(overrides: Iterable[str]) -> list[str]:
    """Return the overrides that make a run what it is, sorted and in one spelling; the last of a key counts."""
    said: dict[str, str] = {}
    for word in overrides:
        override = parse(word)
        key = override.key_or_group
        if re.split(r"[./@]", key)[0] not in _ELSEWHERE:
            value = "" if override.is_delete() else override.get_value_element_as_str()
            said[key] = f"{'~' if override.is_delete() else ''}{key}={value}"
    return sorted(said.values())


def run_folder(cfg: DictConfig) -> Path:
    """Return the folder of this run: Hydra's, or outside of a command the one that Hydra would take.

    A process that a command has started is told: with resume=never it would take the folder it works in for another's.
    """
    if FOLDER in os.environ:
        return Path(os.environ[FOLDER])
    if HydraConfig.initialized() and not OmegaConf.is_missing(HydraConfig.get().runtime, "output_dir"):
        return Path(str(HydraConfig.get().runtime.output_dir))
    home = Path(str(cfg.paths.outputs)).expanduser() / str(cfg.name)
    return home / _numbered(home, run_id(cfg.composed.overrides), str(cfg.resume))


def job_folder(words: Sequence[str]) -> Path:
    """Return the folder of a job of a sweep; only the jobs that differ in what names its parent are composed for it."""
    naming = tuple(sorted(word for word in words if re.split(r"[./=]", word.lstrip("+~"))[0] in _NAMING))
    if naming not in _homes:
        cfg = compose(words)
        _homes[naming] = Path(str(cfg.paths.outputs)).expanduser() / str(cfg.name)
    resume = [parse(word).get_value_element_as_str() for word in words if word.startswith("resume=")]
    return _homes[naming] / _numbered(_homes[naming], run_id(words), (resume or ["auto"])[-1])


def _numbered(home: Path, name: str, resume: str) -> str:
    """Return the run id, or with resume=never the first of `id`, `id.2`, `id.3`... that no run has used."""
    if resume != "never" or not (home / name / "manifest.json").exists():
        return name
    number = 2
    while (home / f"{name}.{number}" / "manifest.json").exists():
        number += 1
    return f"{name}.{number}"


def _resolve_run_id(overrides: Sequence[str], *, _root_: DictConfig) -> str:
    home = Path(str(_root_.paths.outputs)).expanduser() / str(_root_.name)
    return _numbered(home, run_id(overrides), str(_root_.resume))
