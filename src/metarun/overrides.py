"""One override, `key=value`: read, spelled out, and taken apart into the points of a sweep."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, IntervalSweep, Override
from hydra.errors import HydraException

from metarun import options
from metarun.errors import MetarunError, did_you_mean
from metarun.schema import OPEN, load

VERBS = ("advise", "audit", "data", "explain", "list", "predict", "recommend", "report", "show", "update")
_POINTS = 24
"""The most combinations of a sweep that are composed before it starts."""
SPACE = "sweep"
"""The group of ready search spaces."""
_MINE = re.compile(r"^(\+\+|\+|~)?tuned\.")


def parse(word: str) -> Override:
    """Return the parsed override. Raises MetarunError for a bare word and for what cannot be read."""
    if "=" not in word and not word.startswith("~"):
        raise MetarunError(_bare(word))
    try:
        override = OverridesParser.create().parse_overrides([word])[0]
        empty = not override.key_or_group
    except (HydraException, ValueError):
        empty = True
    if empty:
        raise MetarunError(
            f"{word}: cannot be read, {_fault(word)}; write key=value, a list as key=[a,b], other text as \"key='a b'\""
        )
    return override


def _fault(word: str) -> str:
    key, _, value = word.partition("=")
    for quote in ("'", '"'):
        if value.replace(f"\\{quote}", "").count(quote) % 2:
            return f"a quote {quote} is not closed"
    for left, right in ("[]", "{}", "()"):
        if value.count(left) != value.count(right):
            return f"a bracket {left}{right} is not closed or not opened"
    if not re.fullmatch(r"(\+\+|\+|~)?[\w./@-]+", key):
        return f"'{key}' is no name of a field"
    return f"{value} has signs that need quotes"


def _bare(word: str) -> str:
    key = word.lstrip("+")
    if key in options.names("experiment"):
        return f"{word}: did you mean metarun +experiment={key}?"
    if key in VERBS:
        return f"{word}: a verb comes first: metarun {key}"
    for group in options.groups():
        if key in options.names(group):
            return f"{word}: did you mean metarun {group}={key}?"
    verb = did_you_mean(word, VERBS)
    experiments = {name: f"+experiment={name}" for name in options.names("experiment")}
    near = did_you_mean(word, experiments)
    for name, typed in experiments.items():
        near = near.replace(f"'{name}'", typed)
    return f"{word}: neither a verb ({', '.join(VERBS)}) nor key=value.{verb or near} metarun --help explains"


def expand(word: str) -> list[str]:
    """Return the overrides that a short form stands for.

    `tuned.maml.inner_lr=1` sets the dataset's tuned value. A grid `...tune=` replaces the one in the file, where Hydra
    would merge the two, and `...tune.steps=` may name a field that the file's grid does not have.
    """
    word = _MINE.sub(r"\1dataset.tuned.", word)
    key, _, value = word.lstrip("+").partition("=")
    *inside, last = key.split(".")
    if word.startswith("~") or not inside:
        return [word]
    if any(part in OPEN for part in inside):
        return [f"++{key}={value}"]
    replaces = last in OPEN and not word.startswith("+") and value not in ("null", "")
    return [f"~{key}", f"+{key}={value}"] if replaces else [word]


def values(override: Override) -> list[str]:
    """Return the values of an override as text, one for each point of a sweep; an interval gives its ends."""
    if not override.is_sweep_override():
        return [override.get_value_element_as_str()]
    sweep = override.value()
    if isinstance(sweep, IntervalSweep):
        return [f"{end:g}" for end in (sweep.start, sweep.end) if end is not None]
    if isinstance(sweep, Glob):
        return sweep.filter(options.names(override.key_or_group))
    return list(override.sweep_string_iterator())


def unfold(override: Override, word: str) -> str:
    """Return a glob as the options that it stands for; Hydra would look for them in the top folder alone."""
    group = override.key_or_group
    found = [name for name in values(override) if group != "strategy" or not name.startswith("baseline/")]
    if not found:
        raise MetarunError(f"{word}: matches no {group}; there are {', '.join(options.names(group))}")
    return f"{override.get_key_element()}={','.join(found)}"


def chosen(text: str) -> list[str]:
    """Return the options that a value names: one, or the members of a list."""
    inner = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    return [part.strip().strip("'\"") for part in inner.split(",")] if inner.strip() else []


def none_chosen(group: str) -> str:
    """Return what to say where a run has no option of a group that it needs."""
    names = [name for name in options.names(group) if not name.startswith("baseline/")]
    return f"every run needs one; choose from {', '.join(names)}"


def one_per_family(chosen: Sequence[str], word: str) -> None:
    """Raise MetarunError for two strategies of one family, which Hydra would merge into one, and for a baseline."""
    seen: dict[str, str] = {}
    for name in chosen:
        family = name.split("/")[0]
        if family == "baseline":
            raise MetarunError(
                f"{word}: a baseline is no strategy of a run; judge against it: 'evaluate.against=[{name}]'"
            )
        if family in seen and seen[family] != name:
            raise MetarunError(
                f"{word}: {seen[family]} and {name} are of one family, a run takes one of each; "
                f"compare them in a sweep: metarun -m strategy={seen[family]},{name}"
            )
        seen[family] = name


def points(overrides: Sequence[str], most: int | None = _POINTS) -> Iterator[list[str]]:
    """Yield the overrides of the points of a sweep: every value beside the others' first, then the combinations.

    Each job checks itself once more when it starts, so that of a large sweep a part is enough here; `most` None gives
    every combination, in the order in which they run.
    """
    axes: list[list[str]] = []
    for word in overrides:
        override = parse(word)
        sweeps = override.is_sweep_override()
        axes.append([f"{override.get_key_element()}={value}" for value in values(override)] if sweeps else [word])
    if most is None:
        yield from map(list, itertools.product(*axes))
        return
    first = [axis[0] for axis in axes]
    yield first
    for place, axis in enumerate(axes):
        for value in axis[1:]:
            yield [*first[:place], value, *first[place + 1 :]]
    if math.prod(len(axis) for axis in axes) <= most:
        pairs = (list(point) for point in itertools.product(*axes))
        yield from (point for point in pairs if sum(a != b for a, b in zip(point, first, strict=True)) > 1)


def group(word: str) -> str:
    """Return what a word sets, without the sign before it."""
    return word.lstrip("+~").partition("=")[0]


def searches(words: Sequence[str]) -> bool:
    """Return whether a command searches (Optuna) instead of running a grid."""
    return any(group(word) in (SPACE, "hydra/sweeper") and not word.endswith("=basic") for word in words)


def space(words: Sequence[str]) -> list[str]:
    """Return the ready space of `+sweep=NAME` as overrides; what the command itself gives of a key goes before it."""
    names = [name for word in words if group(word) == SPACE for name in chosen(word.partition("=")[2])]
    typed = {group(word) for word in words}
    found: list[str] = []
    for name in names:
        file = load(options.find(f"{SPACE}/{name}").read_text(encoding="utf-8"))
        params: dict[str, object] = file["hydra"]["sweeper"]["params"]
        found += [f"{key}={value}" for key, value in params.items() if key not in typed]
    return found
