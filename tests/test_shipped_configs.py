"""Every YAML that is shipped composes, has help, and is held against the constructor that it is written for."""

from __future__ import annotations

import importlib
import inspect
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from metarun import config, options, schema

EXPERIMENTS = options.names("experiment")
OPTIONS = [f"{group}/{name}" for group in options.groups() for name in options.names(group)]
BUILT = [option for option in OPTIONS if any(field.name == "_target_" for field in schema.schema(option))]
INJECTED = {
    "strategy": {"model"},
    "backbone": {"spec"},
    "head": {"backbone", "spec"},
    "pretrain": {"model", "spec"},
    "dataset": {"rounds"},
    "logger": {"folder", "run"},
}
"""What metarun hands to a constructor beside the fields of its YAML."""
READ_BY_CODE = {"tuned"}


@pytest.fixture(autouse=True)
def _own_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("METARUN_CONF", "METARUN_TRUST", "METARUN_DATA"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_composes(name: str) -> None:
    cfg = config.compose([f"+experiment={name}"])
    assert cfg.name == name
    assert f"experiment/{name}" in cfg.composed.options
    assert all(family in cfg.strategy for family in (s.split("/")[0] for s in config.strategies(cfg)))


@pytest.mark.parametrize("option", [o for o in OPTIONS if o.split("/")[1] != "baseline" and "experiment" not in o])
def test_every_option_composes(option: str) -> None:
    assert option in config.compose(overrides(option)).composed.options, "its own command does not use it"


@pytest.mark.parametrize("name", [name for name in options.names("strategy") if name.startswith("baseline/")])
def test_every_baseline_is_named_by_its_command(name: str) -> None:
    cfg = config.compose(overrides(f"strategy/{name}"))
    assert name in [*cfg.evaluate.against, cfg.evaluate.reference]
    assert config.load_option(cfg, f"strategy/{name}")["_target_"].startswith("metarun.")


def overrides(option: str) -> list[str]:
    """Return what the command in an option's header gives to Hydra."""
    line = options.header(option).command.removeprefix("metarun ").replace("'", "").split()
    return [word for word in line if not word.startswith("-")]


@pytest.mark.parametrize("option", ["config", *OPTIONS])
def test_headers_open_with_the_command_that_uses_the_file(option: str) -> None:
    header = options.header(option)
    assert header.command.startswith("metarun ")
    assert header.about.endswith((".", "`"))
    assert config.compose(overrides(option)).name


@pytest.mark.parametrize("option", ["config", *(o for o in OPTIONS if not o.startswith("experiment/"))])
def test_every_field_has_help_and_a_default_that_its_spec_allows(option: str) -> None:
    for field in schema.schema(option):
        last = field.name.split(".")[-1]
        if last in schema.SPECIAL or last == "tuned" or re.fullmatch(r"\$\{[a-z.]+\}", str(field.default)):
            continue
        assert field.help, f"{option}: {field.name} has no help"
        if not str(field.default).startswith("${"):
            assert schema.problem(field.spec, field.default) is None, f"{option}: {field.name}"


def target(node: dict[str, Any]) -> type:
    module, _, name = node["_target_"].rpartition(".")
    found = getattr(importlib.import_module(module), name)
    assert isinstance(found, type)
    return found


def parameters(cls: type) -> dict[str, inspect.Parameter]:
    """The names that a constructor takes, through **kwargs those of its base as well."""
    mine = dict(inspect.signature(cls).parameters)
    if any(p.kind is p.VAR_KEYWORD for p in mine.values()) and cls.__init__ is not object.__init__:
        base = next(one for one in cls.__mro__[1:] if "__init__" in vars(one))  # not a mixin, which takes nothing
        mine = parameters(base) | mine
    return {name: p for name, p in mine.items() if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)}


def built(node: dict[str, Any]) -> list[dict[str, Any]]:
    inner = [part for value in node.values() if isinstance(value, dict) for part in built(value)]
    return ([node] if "_target_" in node else []) + inner


def defaults(option: str) -> dict[str, Any]:
    tree = OmegaConf.create()
    for field in schema.schema(option):
        value = field.default
        chosen = re.fullmatch(r"\$\{oc\.select:[^,]+,(.*)\}", value) if isinstance(value, str) else None
        OmegaConf.update(tree, field.name, schema.load(chosen[1]) if chosen else value, force_add=True)
    plain = OmegaConf.to_container(tree)
    assert isinstance(plain, dict)
    return plain  # type: ignore[return-value]


@pytest.mark.parametrize("option", BUILT)
def test_yaml_and_constructor_have_the_same_names(option: str) -> None:
    for node in built(defaults(option)):
        cls = target(node)
        takes = parameters(cls)
        given = set(node) - set(schema.SPECIAL) - READ_BY_CODE
        assert given <= set(takes), f"{option}: {cls.__name__} takes no {given - set(takes)}"
        group = option.split("/")[0]
        needed = {name for name, p in takes.items() if p.default is p.empty} - INJECTED.get(group, set())
        if not node.get("_partial_"):
            assert needed <= given, f"{option}: {cls.__name__} needs {needed - given}"


@pytest.mark.parametrize("option", BUILT)
def test_yaml_and_constructor_agree_on_defaults(option: str) -> None:
    """Two YAMLs that share a class differ in their values on purpose; there, the YAML has to allow the default."""
    shared = Counter(str(defaults(other)["_target_"]) for other in BUILT if options.header(other))
    values, specs = defaults(option), {field.name: field.spec for field in schema.schema(option)}
    for name, parameter in inspect.signature(target(values)).parameters.items():
        if parameter.default is parameter.empty or name not in values or parameter.default is None:
            continue
        if shared[values["_target_"]] == 1:
            assert values[name] == parameter.default, f"{option}: {name}"
        assert schema.problem(specs.get(name, ""), parameter.default) is None, f"{option}: {name}"


def test_every_field_without_a_constructor_is_read_by_code() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in Path(config.__file__).parent.rglob("*.py"))
    without = ["config", *(o for o in OPTIONS if o not in BUILT and not o.startswith("experiment/"))]
    unread = [
        f"{option}: {field.name}"
        for option in without
        for field in schema.schema(option)
        if not re.search(r"\.{0}\b|[\"']{0}[\"']".format(field.name.split(".")[-1]), source)
    ]
    assert unread == []
