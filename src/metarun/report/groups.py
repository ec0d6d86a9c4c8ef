"""Which runs are replicates of one another, and what tells the groups apart."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from metarun.errors import MetarunError, did_you_mean
from metarun.report.notation import spoken
from metarun.report.reading import Run, value_of

SEED = "seed"
# Leaves of a run's config that decide which rows a test task holds, beside the data and the split themselves.
TASKS = (
    "dataset.users", "dataset.tasks", "dataset.supports", "dataset.queries", "dataset.positive", "dataset.core",
    "dataset.negatives", "evaluate.stream_start", "evaluate.stream_blocks", "dataset.protocol", "dataset.ways",
    "dataset.rotations", "dataset.shares", "dataset.size", "dataset.test_tasks",
)  # fmt: skip


class Group(NamedTuple):
    """Runs that differ only in their seed, or in what they were asked to be averaged over."""

    keys: Mapping[str, str]
    runs: tuple[Run, ...]

    @property
    def label(self) -> str:
        """What tells the group from the others, as it is typed; empty where nothing does."""
        return " ".join(f"{key}={value}".removeprefix("experiment=") for key, value in self.keys.items())


class Asked(NamedTuple):
    """What the command asked for: keys that tell groups apart, keys averaged over, other data or splits beside."""

    by: tuple[str, ...] = ()
    over: tuple[str, ...] = ()
    mixed: bool = False


def group(runs: Sequence[Run], asked: Asked) -> tuple[list[Group], list[str]]:
    """Return the groups in natural order, and a line for each run that repeats another.

    Raises MetarunError for a key that no run changed, for a difference that was not asked about, and for runs on
    different data or splits.
    """
    keys = _keys(runs, asked)
    _same_tasks(runs, asked, keys)
    if asked.mixed:
        keys += _unnamed(runs, keys, asked)
    gathered: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        gathered.setdefault(tuple(_value(run, key) for key in keys), []).append(run)
    groups, lines = [], []
    for values in sorted(gathered, key=lambda found: [natural(value) for value in found]):
        kept, repeats = _once(gathered[values], asked.over)
        lines += repeats
        groups.append(Group(dict(zip(keys, values, strict=True)), tuple(kept)))
    return groups, lines


def replicate(run: Run, over: Iterable[str] = ()) -> tuple[str, ...]:
    """Return what tells a run from the other replicates of its group: its seed, and what is averaged over."""
    return (seed_of(run), *(_value(run, key) for key in over))


def seed_of(run: Run) -> str:
    """Return a run's seed."""
    return str(run.leaves.get(SEED, run.summary.get("setting", {}).get(SEED, 0)))


def tasks_of(run: Run) -> tuple[tuple[str, str], ...]:
    """Return what decides on which tasks a run was tested: the data and its checksum, the split, the tasks' make-up."""
    data = run.manifest.get("data", {})
    setting = {k: v for k, v in run.summary.get("setting", {}).items() if k != SEED}
    named = {"data": data.get("name", run.summary["dataset"]), "checksum": data.get("checksum", "")}
    named |= {f"dataset.{key}": value for key, value in setting.items()}
    named |= {key: run.leaves[key] for key in TASKS if key in run.leaves}
    return tuple((key, str(value)) for key, value in named.items())


def changed(runs: Sequence[Run]) -> list[str]:
    """Return the keys whose values differ between runs: those that some command changed, then what no command names."""
    typed = dict.fromkeys(key for run in runs for key in run.words if key != SEED)
    keys = [key for key in typed if len({_value(run, key) for run in runs}) > 1]
    gathered: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        gathered.setdefault(tuple(_value(run, key) for key in keys), []).append(run)
    # The same command under other defaults: not a replicate either.
    known = set(runs[0].leaves).union(*(run.leaves for run in runs)) - {SEED}
    silent = [key for key in sorted(known) for same in gathered.values() if _differ(same, key)]
    return list(dict.fromkeys(keys + silent))


def natural(text: str) -> list[tuple[int, float, str]]:
    """Return a sorting key that puts 5 before 10."""
    parts = re.split(r"(-?\d+(?:\.\d+)?)", text)
    return [(0, float(part), "") if number % 2 else (1, 0.0, part) for number, part in enumerate(parts) if part]


def _value(run: Run, key: str) -> str:
    """Return a run's value of a key; "seed" is also known from the summary."""
    if key in ("run", "data", "checksum"):
        return run.name if key == "run" else dict(tasks_of(run))[key]
    return seed_of(run) if key == SEED else value_of(run, key)


def _differ(runs: Sequence[Run], key: str) -> bool:
    """Return whether runs with a config differ in one of its leaves."""
    first = runs[0].leaves.get(key)
    return any(run.leaves.get(key) != first for run in runs[1:])


def _keys(runs: Sequence[Run], asked: Asked) -> list[str]:
    """Return the keys that tell groups apart; what else differs has to be named in `over`."""
    differing = changed(runs)
    known = dict.fromkeys([*differing, *(key for run in runs for key in run.words), SEED])
    for option, named in (("--by", asked.by), ("--over", asked.over)):
        for key in named:
            if key not in known:
                raise MetarunError(
                    f"{option} {key}: no run changed it; changed were {spoken(known)}.{did_you_mean(key, known)}"
                )
    both = [key for key in asked.by if key in asked.over]
    if both:
        raise MetarunError(f"--by and --over both name {both[0]}: groups are told apart by it or averaged over it.")
    # Without a record of its command a run is compared as itself.
    apart = ["run"] if any(not run.words and not run.leaves for run in runs) and len(runs) > 1 else []
    if not asked.by:
        return [key for key in differing if key not in asked.over] + apart
    left = [key for key in differing if key not in asked.by and key not in asked.over]
    if left and not _follow(runs, left, asked):
        key = left[0]
        values = sorted({_value(run, key) for run in runs}, key=natural)
        raise MetarunError(
            f"--by {','.join(asked.by)}: the runs also differ in {key} ({', '.join(values[:4])}); add it to --by, or "
            f"average over it with --over {key}."
        )
    return [*asked.by, *apart]


def _follow(runs: Sequence[Run], left: Sequence[str], asked: Asked) -> bool:
    """Return whether keys that were not named change only together with those that were."""
    gathered: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
    for run in runs:
        named = tuple(_value(run, key) for key in (*asked.by, *asked.over))
        gathered.setdefault(named, set()).add(tuple(_value(run, key) for key in left))
    return all(len(values) == 1 for values in gathered.values())


def _unlike(runs: Sequence[Run]) -> list[str]:
    """Return in which parts of what decides on the tasks the runs differ."""
    found = [dict(tasks_of(run)) for run in runs]
    known = dict.fromkeys(key for one in found for key in one)
    return [key for key in known if len({one.get(key, "") for one in found}) > 1]


def _same_tasks(runs: Sequence[Run], asked: Asked, keys: Sequence[str]) -> None:
    """Raise MetarunError for runs on different data or splits, unless they were asked for."""
    unlike = _unlike(runs)
    if not unlike or asked.mixed:
        return
    if (asked.by or asked.over) and not _unnamed(runs, keys, asked):
        return
    part = unlike[0]
    values = sorted({dict(tasks_of(run)).get(part, "") for run in runs}, key=natural)[:6]
    differing = changed(runs)
    named = [key for key in differing if key == part] or [key for key in differing if key.startswith("dataset")]
    key = next(iter(named or [key for key in differing if key == "experiment"]), None)
    ways = ["compare them all the same with --mixed"]
    if key and key.startswith("dataset.split"):
        ways.insert(0, f"average over it with --over {key}")
    if key:
        ways.insert(0, f"add --by {','.join([*asked.by, key])} to set them side by side")
    text = ", ".join(value[:12] if part == "checksum" else value for value in values)
    raise MetarunError(f"the runs were not tested on the same tasks ({part}: {text}): {', or '.join(ways)}.")


def _unnamed(runs: Sequence[Run], keys: Sequence[str], asked: Asked) -> list[str]:
    """Return the parts of the data or the split that differ within a group and are not averaged over."""
    gathered: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        gathered.setdefault(tuple(_value(run, key) for key in (*keys, *asked.over)), []).append(run)
    return list(dict.fromkeys(part for same in gathered.values() for part in _unlike(same)))


def _once(runs: Sequence[Run], over: Sequence[str]) -> tuple[list[Run], list[str]]:
    """Return one run per replicate, the last that was started, and a line for each that it replaces."""
    kept: dict[tuple[str, ...], Run] = {}
    lines = []
    for run in sorted(runs, key=lambda run: str(run.manifest.get("start", ""))):
        mark = replicate(run, over)
        if mark in kept:
            lines.append(f"left out: {kept[mark].folder} (the same settings and seed as {run.name}, which is newer)")
        kept[mark] = run
    return [kept[mark] for mark in sorted(kept, key=lambda found: [natural(value) for value in found])], lines
