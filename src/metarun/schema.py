"""The packaged YAML is the schema: keys, defaults, allowed values and help, read from the file with PyYAML alone.

Behind a field stands `# SPEC; help`. SPEC is a choice, by `|`, of `literal`, `null` or a type (int, float, str, bool,
list, dict), with bounds as `int >= 1`, `float > 0`, `float 0..1`, and lists as `list of int >= 0`, `nonempty list of
int >= 0` or `list of one/two`. Without `;` all of it is help and the type is the default's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from metarun import options
from metarun.errors import MetarunError, did_you_mean

OPEN = ("tuned", "tune")
"""Fields whose keys are names of methods or of fields; checked in metarun.tuned."""
SPECIAL = ("_target_", "_partial_", "_recursive_", "_convert_", "_args_")
"""Keys that Hydra reads when it builds an object: no fields of its constructor."""
_TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "bool": (bool,),
    "list": (list,),
    "dict": (dict,),
}
_NUMBER = r"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?"
_TYPE = re.compile(rf"(int|float|str|bool|list|dict)(?:\s*(>=|>|<=|<)\s*({_NUMBER})|\s+({_NUMBER})\.\.({_NUMBER}))?$")
_LIST = re.compile(r"(nonempty )?list of (.+)")
_SELECT = re.compile(r"^\$\{oc\.select:[^,]+,(.*)\}$")


class Field(NamedTuple):
    """A field of an option: dotted name inside its file, default, allowed values, help."""

    name: str
    default: Any
    spec: str
    help: str


class Known(NamedTuple):
    """A field of a run's config and the option whose file declares it."""

    field: Field
    option: str


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """PyYAML that reads 1e-3 as a number, as Hydra does."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^[-+]?(?:\d[\d_]*(?:\.[\d_]*)?[eE][-+]?\d+|\d[\d_]*\.[\d_]*|\.\d[\d_]*|\.(?:inf|Inf|INF|nan|NaN|NAN))$"
    ),
    list("-+0123456789."),
)


def load(text: str) -> Any:
    """Return the value of a YAML text."""
    return yaml.load(text, Loader=_Loader)


def schema(option: str) -> list[Field]:
    """Return the fields of an option such as "strategy/meta/maml", or of "config", in the order of the file."""
    path = options.find(option)
    stat = path.stat()
    fields = {field.name: field for parent in parents(option) for field in schema(parent)}
    fields |= {field.name: field for field in _read(path, stat.st_mtime_ns, stat.st_size)}
    return list(fields.values())


def default_groups() -> dict[str, str]:
    """Return group -> option of the choices that every run makes, from the root's defaults list."""
    root = load(options.find(options.ROOT).read_text(encoding="utf-8"))
    pairs = [pair for entry in root["defaults"] if isinstance(entry, dict) for pair in entry.items()]
    return {group: str(name) for group, name in pairs if name is not None and not group.startswith("override ")}


def parents(option: str) -> Iterator[str]:
    """Yield the options of the same group that the file's defaults list builds on."""
    if option == options.ROOT or option.startswith("experiment/"):
        return
    path = options.find(option)
    root = _compose(path, path.read_text(encoding="utf-8"))
    for key, value in root.value if root else []:
        if key.value == "defaults" and isinstance(value, yaml.SequenceNode):
            names = [node.value for node in value.value if isinstance(node, yaml.ScalarNode) and node.value != "_self_"]
            yield from (n[1:] if n.startswith("/") else f"{option.rpartition('/')[0]}/{n}" for n in names)


def _compose(path: Path, text: str) -> yaml.MappingNode | None:
    """Return the tree of a YAML text with its line numbers, None if it is empty. Raises MetarunError with the line."""
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}: " if mark else ""
        raise MetarunError(f"{path}: {place}{getattr(error, 'problem', error)}; mend the YAML") from None
    if root is not None and not isinstance(root, yaml.MappingNode):
        raise MetarunError(f"{path}: a config is a list of fields `name: value`; mend the YAML")
    return root


@lru_cache(maxsize=1024)
def _read(path: Path, _mtime: int, _size: int) -> tuple[Field, ...]:
    """Return the fields of one file; its age and size are part of the key of the cache."""
    text = path.read_text(encoding="utf-8")
    root = _compose(path, text)
    return () if root is None else tuple(_walk(root, "", text.splitlines()))


def _walk(node: yaml.MappingNode, prefix: str, lines: list[str]) -> Iterator[Field]:
    for key, value in node.value:
        name = f"{prefix}{key.value}"
        if not prefix and name in ("defaults", "hydra"):
            continue
        spec, text = _comment(key, value, lines)
        section = isinstance(value, yaml.MappingNode) and value.value and spec != "dict" and name not in OPEN
        if section:
            yield from _walk(value, f"{name}.", lines)
        else:
            default = load(yaml.serialize(value)) if not isinstance(value, yaml.ScalarNode) else _scalar(value)
            yield Field(name, default, spec or _spec_of(default), text)


def _scalar(node: yaml.ScalarNode) -> Any:
    loader = _Loader("")
    try:
        return loader.construct_object(node)
    finally:
        loader.dispose()


def _comment(key: yaml.Node, value: yaml.Node, lines: list[str]) -> tuple[str, str]:
    """Return (spec, help) of the comment behind a field; spec is "" where the comment states none."""
    block = isinstance(value, yaml.CollectionNode) and not value.flow_style
    empty = value.start_mark.index == value.end_mark.index
    mark = key.end_mark if block or empty or getattr(value, "style", None) in ("|", ">") else value.end_mark
    found = re.search(r"(?:^|\s)#\s*(.*)$", lines[mark.line][mark.column :])
    return split(found[1]) if found else ("", "")


def split(comment: str) -> tuple[str, str]:
    """Return (spec, help) of "SPEC; help", or ("", comment) where nothing that reads as a SPEC comes first."""
    spec, mark, text = comment.partition(";")
    alternatives = [part.strip() for part in spec.split("|")]
    kinds = [found[2] if (found := _LIST.fullmatch(part)) else part for part in alternatives]
    stated = mark and all(kind and (" " not in kind or _TYPE.match(kind)) for kind in kinds)
    return (" | ".join(alternatives), text.strip()) if stated else ("", comment.strip())


def _spec_of(default: Any) -> str:
    """Return the type of a default as a spec; "" (anything) for null and for interpolations."""
    if isinstance(default, str) and default.startswith("${"):
        inner = _SELECT.match(default)
        return _spec_of(load(inner[1])) if inner else ""
    for name, kind in (("bool", bool), ("int", int), ("float", float), ("str", str), ("list", list), ("dict", dict)):
        if isinstance(default, kind):
            return name
    return ""


def problem(spec: str, value: Any) -> str | None:
    """Return why a value does not fit a spec ("wrong type, give int >= 1"), or None if it does."""
    if not spec:
        return None
    literals, near = [], False
    for alternative in spec.split(" | "):
        many = _LIST.fullmatch(alternative)
        if many:
            inner = many[2].replace("/", " | ")
            if isinstance(value, list) and (value or not many[1]) and all(problem(inner, v) is None for v in value):
                return None
            continue
        kind = _TYPE.match(alternative)
        if kind is None:
            if value is None if alternative == "null" else value is not None and show(value) == alternative:
                return None
            literals.append(alternative)
        elif _is(value, kind[1]):
            if _within(value, kind):
                return None
            near = True
    if near:
        return f"out of bounds, give {spec}"
    if literals and isinstance(value, str) and not _TYPE.search(spec):
        return f"not allowed, give {spec}.{did_you_mean(value, literals)}".rstrip(".")
    hint = " (a text of digits needs quotes of its own: \"'12'\")" if spec == "str" and _is(value, "float") else ""
    return f"wrong type, give {spec}{hint}"


def show(value: Any) -> str:
    """Return a value as it is written in YAML."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "bool"
    return isinstance(value, _TYPES[kind])


def _within(value: Any, kind: re.Match[str]) -> bool:
    _, sign, bound, low, high = kind.groups()
    if isinstance(value, float) and value != value:
        return False
    if low is not None:
        return bool(float(low) <= value <= float(high))
    if sign is None:
        return True
    limit = float(bound)
    return bool({">=": value >= limit, ">": value > limit, "<=": value <= limit, "<": value < limit}[sign])
