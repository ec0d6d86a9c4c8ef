"""Holds a composed config against the YAML files it was composed from, and says what is wrong in one line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from metarun import options
from metarun.complaints import typed_as, unknown_key
from metarun.errors import MetarunError
from metarun.loading import load_option
from metarun.overrides import none_chosen, one_per_family
from metarun.pairs import check_pairs
from metarun.schema import SPECIAL, Known, default_groups, problem, schema, show
from metarun.trust import check_target
from metarun.tuned import check_grid, check_tuned, source


def validate(cfg: DictConfig) -> None:
    """Raise MetarunError for the first thing in a composed config that its YAML files do not allow."""
    chosen = list(cfg.composed.options)
    strategies = [name.removeprefix("strategy/") for name in chosen if name.startswith("strategy/")]
    one_per_family(strategies, f"strategy=[{','.join(strategies)}]")
    for group in default_groups():
        # Without a strategy a run pretrains and judges what needs no stage.
        if group != "strategy" and not any(name.startswith(f"{group}/") for name in chosen):
            raise MetarunError(f"{group}: {none_chosen(group)}")
    known = fields(chosen)
    _targets(cfg, "")
    _keys(cfg, known)
    check_tuned(cfg)
    _values(cfg, known, "")
    _needs(chosen)
    _against(cfg, chosen)
    check_pairs(cfg, strategies)
    if not str(cfg.name).strip() or re.search(r"[/\\]", str(cfg.name)):
        raise MetarunError(f"name={cfg.name}: names a folder, so it is not empty and has no slash")


def fields(chosen: Sequence[str]) -> dict[str, Known]:
    """Return every field of a run by its dotted name, from the root and the chosen options."""
    found: dict[str, Known] = {}
    for option in (options.ROOT, *chosen):
        if option.startswith("experiment/"):
            continue
        prefix = options.package(option)
        for field in schema(option):
            found[f"{prefix}.{field.name}" if prefix else field.name] = Known(field, option)
    return found


def _targets(node: Any, path: str) -> None:
    """Check every `_target_` in the tree, before anything else looks at it."""
    if isinstance(node, DictConfig):
        for key in node:
            if key == "_target_":
                check_target(f"{path}_target_", _value(node, str(key), path))
            else:
                _targets(_child(node, str(key)), f"{path}{key!s}.")
    elif isinstance(node, ListConfig) and not node._is_none():
        for place, part in enumerate(node):
            _targets(part, f"{path}{place}.")


def _keys(cfg: DictConfig, known: dict[str, Known]) -> None:
    present = set()
    for path in _leaves(cfg, "", known):
        if path in known:
            present.add(path)
            continue
        if path.split(".")[-1] not in SPECIAL:
            raise MetarunError(unknown_key(typed_as(cfg, path), path, known))
    for path in known:
        if path not in present and path.split(".")[-1] not in SPECIAL and not _below(path, present):
            where = known[path].option
            raise MetarunError(_missing(typed_as(cfg, path), path, where, known))


def _missing(typed: str, path: str, option: str, known: dict[str, Known]) -> str:
    section = path.rpartition(".")[0]
    if section and typed.startswith(f"{section}="):
        return unknown_key(typed, section, known)
    return f"{typed}: {option} needs the field '{path}'; `metarun show {option}` lists the fields"


def _below(path: str, present: set[str]) -> bool:
    parts = path.split(".")
    return any(".".join(parts[:depth]) in present for depth in range(1, len(parts)))


def _leaves(node: DictConfig, prefix: str, known: dict[str, Known]) -> Iterator[str]:
    """Yield the dotted names of a config down to the fields that a schema declares."""
    for key in node:
        path = f"{prefix}{key!s}"
        if path == "composed" or (path == "dataset.tuned" and path not in known):
            continue
        child = _child(node, str(key))
        if path not in known and isinstance(child, DictConfig) and len(child):
            yield from _leaves(child, f"{path}.", known)
        else:
            yield path


def _child(node: DictConfig, key: str) -> Any:
    """Return a value, or None for what has to be given yet and for an interpolation that leads nowhere."""
    try:
        return None if OmegaConf.is_missing(node, key) else node[key]
    except OmegaConfBaseException:
        return None


def _raw(node: DictConfig, key: str) -> str:
    """Return an interpolation as it is written; "" for anything else."""
    return str(node._get_node(key)._value()) if OmegaConf.is_interpolation(node, key) else ""  # type: ignore[union-attr]


def _value(node: DictConfig, key: str, path: str) -> Any:
    """Return a resolved, plain value. Raises MetarunError where it cannot be resolved or was never given."""
    if OmegaConf.is_missing(node, key):
        raise MetarunError(f"{path}{key}: has to be given, {path}{key}=...")
    try:
        value = node[key]
        return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
    except OmegaConfBaseException as error:
        reason = str(error).splitlines()[0]
        raise MetarunError(f"{path}{key}={_raw(node, key)}: cannot be resolved, {reason}") from None


def _values(cfg: DictConfig, known: dict[str, Known], label: str) -> None:
    """Hold every value against its SPEC; `label` goes before the names of what was not chosen but loaded."""
    for path, (field, option) in known.items():
        parent, _, key = path.rpartition(".")
        node = OmegaConf.select(cfg, parent) if parent else cfg
        if key in SPECIAL or not isinstance(node, DictConfig) or key not in node:
            continue
        raw = _raw(node, key)
        if "${hydra:" in raw:
            continue
        value = _value(node, key, f"{parent}." if parent else "")
        wrong = problem(field.spec, value)
        if wrong:
            raise MetarunError(f"{source(cfg, raw) or label + path}={show(value)}: {wrong}")
        if key == "tune" and isinstance(value, dict):
            check_grid(label + path, value, option)


def _needs(chosen: Sequence[str], said: str = "") -> None:
    """Refuse what needs something that neither the dataset nor the objective offers, in the words of their headers."""
    givers = [name for name in chosen if name.startswith(("dataset/", "objective/"))]
    offers = [offer for giver in givers for offer in options.header(giver).offers]
    for option in chosen:
        for need in options.header(option).needs:
            if need not in offers:
                raise MetarunError(
                    f"{said}{option} needs {need}, which {' and '.join(givers)} do not offer (they offer "
                    f"{', '.join(offers) or 'nothing'}); choose another {option.split('/')[0]}=, dataset= or objective="
                    + (" (with objective=ranking also evaluate=lists)" if need == "ratings" else "")
                )


def _against(cfg: DictConfig, chosen: Sequence[str]) -> None:
    """Check what `evaluate.against` and `evaluate.reference` name as if it had been chosen."""
    against, reference = OmegaConf.select(cfg, "evaluate.against"), OmegaConf.select(cfg, "evaluate.reference")
    named = [("evaluate.against", str(name)) for name in against] if isinstance(against, ListConfig) else []
    if reference is not None:
        named.append(("evaluate.reference", str(reference)))
    givers = [name for name in chosen if name.startswith(("dataset/", "objective/"))]
    for key, name in named:
        if name not in options.names("strategy"):
            raise MetarunError(f"{key}={name}: {options.unknown('strategy', name)}")
        option = f"strategy/{name}"
        _needs([*givers, option], f"{key}: ")
        node = load_option(cfg, option)
        _targets(node, f"{name}.")
        _values(node, {field.name: Known(field, option) for field in schema(option)}, f"{name}.")
