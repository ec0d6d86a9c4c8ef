"""The comparison itself: entries (a group's method), their means over seeds, and which differ from best and reference.

Entries are compared on identical tasks only. All comparisons of one table (a view and a metric: every entry with the
best of its column and with its reference) are corrected together, by Holm. Test never chooses: the arrow stands where
the validation tasks are best.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from metarun.metrics.holm import holm
from metarun.report import notation
from metarun.report.groups import Group, replicate, tasks_of
from metarun.report.pooled import Blocks, Place, Pooled, Replicate, difference, mean
from metarun.report.reading import Run
from metarun.report.views import Measured, View

Pair = tuple[int, int | None, int]
"""(entry, support size, the entry that it is compared with)."""
LEVEL = 0.05
NO_RIVALS = ("hindsight",)
VALIDATION = ("evaluate.validation_tasks", "trainer.tasks")


class Entry(NamedTuple):
    """A method of one group, or of several whose runs have the same values of it to the last bit."""

    method: str
    groups: tuple[int, ...]
    where: str  # what tells its groups from the others, "" where nothing does beside the method
    keys: Mapping[str, str]


class Contrast(NamedTuple):
    """A paired difference to another entry, its interval, and its p-value before and after Holm's correction."""

    to: int
    found: Pooled
    corrected: float


class Cell(NamedTuple):
    """An entry's value at one support size: is it the best of those on the same tasks, or not significantly worse?"""

    found: Pooled
    best: bool
    near: bool
    reference: Contrast | None
    leader: Contrast | None

    def against(self, metric: str) -> int:
        """Return 1 significantly better than the reference, -1 worse, 0 neither or not compared."""
        if self.reference is None or not self.reference.corrected < LEVEL:
            return 0
        return 1 if (self.reference.found.value > 0) == notation.higher_is_better(metric) else -1


class Table(NamedTuple):
    """A view's values of one metric."""

    view: View
    metric: str
    sizes: list[int | None]
    cells: Mapping[tuple[int, int | None], Cell]
    comparisons: int


class Comparison(NamedTuple):
    """Groups, entries and tables; validation: {entry: mean value}; chosen: entries that validation tasks chose."""

    groups: list[Group]
    entries: list[Entry]
    over: tuple[str, ...]
    validation: Mapping[int, float]
    chosen: frozenset[int]
    tables: Mapping[tuple[View, str], Table]
    views: Mapping[View, Mapping[str, list[int | None]]]
    shown: Sequence[tuple[View, str]]


def entries_of(groups: Sequence[Group], measured: Mapping[int, Measured], over: Sequence[str]) -> list[Entry]:
    """Return the entries of all groups; measured: {id(run): what it measured}."""
    same: dict[tuple[str, object], list[int]] = {}
    for number, group in enumerate(groups):
        ones = [(replicate(run, over), measured[id(run)]) for run in group.runs]
        for method in notation.ordered(method for _, one in ones for method in one.marks):
            mark = tuple((name, one.marks.get(method)) for name, one in ones)
            same.setdefault((method, mark), []).append(number)
    shared = [(method, numbers, _shared([groups[n].keys for n in numbers])) for (method, _), numbers in same.items()]
    shared = [(method, n, keys if len(n) < len(groups) else {}) for method, n, keys in shared]
    # A strategy's name says which one it is, unless it stands in runs of several.
    short = Counter((method, _label(keys, ("strategy",))) for method, _, keys in shared)
    found = []
    for method, numbers, keys in shared:
        brief = _label(keys, ("strategy",))
        where = brief if short[method, brief] == 1 else _label(keys)
        found.append(Entry(method, tuple(numbers), where, keys))
    places = {where: n for n, where in enumerate(dict.fromkeys(["", *(entry.where for entry in found)]))}
    ranks = {m: n for n, m in enumerate(m for m, _ in notation.framed_by(entry.method for entry in found))}
    return sorted(found, key=lambda entry: (places[entry.where], ranks[entry.method]))


def _label(keys: Mapping[str, str], without: Sequence[str] = ()) -> str:
    """Return keys and values as they are typed."""
    return " ".join(f"{k}={v}".removeprefix("experiment=") for k, v in keys.items() if k not in without)


def _shared(keys: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return the keys and values that all have in common."""
    return {k: v for k, v in keys[0].items() if all(other.get(k) == v for other in keys)}


def blocks_of(
    entry: Entry, groups: Sequence[Group], measured: Mapping[int, Measured], over: Sequence[str],
    place: tuple[View, int | None, str],
) -> Blocks:  # fmt: skip
    """Return an entry's replicates by the tasks that they were tested on; those of its first group stand for all."""
    view, size, metric = place
    found: dict[Place, dict[tuple[str, ...], Replicate]] = {}
    for run in groups[entry.groups[0]].runs:
        one = measured[id(run)].found.get((view, entry.method, size, metric))
        if one is not None:
            found.setdefault(one[0], {})[replicate(run, over)] = one[1]
    return found


def table_of(
    place: tuple[View, str], sizes: list[int | None], entries: Sequence[Entry], groups: Sequence[Group],
    measured: Mapping[int, Measured], over: Sequence[str],
) -> Table:  # fmt: skip
    """Return the values of one view and metric, with all comparisons corrected together."""
    view, metric = place
    references = _references(entries, groups)
    values: dict[tuple[int, int | None], Pooled] = {}
    leaders: dict[tuple[int, int | None], int] = {}
    pairs: dict[Pair, Pooled] = {}
    for size in sizes:
        found = {n: blocks_of(e, groups, measured, over, (view, size, metric)) for n, e in enumerate(entries)}
        found = {n: blocks for n, blocks in found.items() if blocks}
        values |= {(n, size): mean(blocks) for n, blocks in found.items()}
        best = _leaders({n: (values[n, size].value, frozenset(b)) for n, b in found.items()}, entries, metric)
        for n, blocks in found.items():
            wanted = [references.get(n)]
            if n in best and _rival(entries[n]):
                leaders[n, size] = best[n]
                wanted.append(best[n])
            for other in dict.fromkeys(wanted):
                if other is None or other == n or other not in found:
                    continue
                known = pairs.get((other, size, n))
                pair = known._replace(value=-known.value) if known else difference(blocks, found[other])
                if pair is not None:
                    pairs[n, size, other] = pair
    corrected, count = _corrected(pairs)
    cells = {}
    for (n, size), value in values.items():
        leader, reference = leaders.get((n, size)), references.get(n)
        contrasts = [
            Contrast(other, pairs[n, size, other], corrected[n, size, other])
            if other is not None and (n, size, other) in pairs else None
            for other in (reference, leader)
        ]  # fmt: skip
        ahead = contrasts[1] if leader != n else None
        near = ahead is not None and not ahead.corrected < LEVEL and math.isfinite(ahead.corrected)
        cells[n, size] = Cell(value, leader == n, near, contrasts[0], ahead)
    return Table(view, metric, sizes, cells, count)


def _corrected(pairs: Mapping[Pair, Pooled]) -> tuple[dict[Pair, float], int]:
    """Return Holm's p of every pair and how many comparisons there were; a pair seen from both sides is one."""
    once: dict[tuple[object, ...], float] = {}
    for (a, size, b), pair in pairs.items():
        once.setdefault((min(a, b), size, max(a, b)), pair.p)
    adjusted = dict(zip(once, holm(list(once.values())), strict=True))
    count = sum(not math.isnan(p) for p in once.values())
    return {(a, size, b): adjusted[min(a, b), size, max(a, b)] for a, size, b in pairs}, count


def _rival(entry: Entry) -> bool:
    """Return whether an entry can be the best: the oracle and what is known only afterwards bound the others."""
    return notation.last(entry.method) != "oracle" and notation.family(entry.method) not in NO_RIVALS


def _leaders(
    values: Mapping[int, tuple[float, frozenset[object]]], entries: Sequence[Entry], metric: str
) -> dict[int, int]:
    """Return {entry: the best entry on the same tasks}."""
    sign = 1 if notation.higher_is_better(metric) else -1
    best: dict[frozenset[object], int] = {}
    for n, (value, tasks) in values.items():
        if math.isfinite(value) and _rival(entries[n]):
            held = best.get(tasks)
            if held is None or sign * value > sign * values[held][0]:
                best[tasks] = n
    return {n: best[tasks] for n, (_, tasks) in values.items() if tasks in best}


def _references(entries: Sequence[Entry], groups: Sequence[Group]) -> dict[int, int]:
    """Return {entry: the entry of the reference in its own runs}."""
    where = {(entry.method, number): n for n, entry in enumerate(entries) for number in entry.groups}
    found = {}
    for n, entry in enumerate(entries):
        reference = groups[entry.groups[0]].runs[0].summary.get("reference", "baseline/ridge")
        other = where.get((reference, entry.groups[0]))
        if other is not None:
            found[n] = other
    return found


def validated_on(run: Run) -> tuple[object, ...]:
    """Return what decides on which validation tasks a run was judged; how many are read changes no test task."""
    return tasks_of(run), *(str(run.leaves.get(key)) for key in VALIDATION)


def chosen_by_validation(entries: Sequence[Entry], groups: Sequence[Group]) -> tuple[dict[int, float], frozenset[int]]:
    """Return the entries' mean values on validation tasks, and the strategy that is best on the same ones."""
    means: dict[int, float] = {}
    best: dict[tuple[object, ...], int] = {}
    for n, entry in enumerate(entries):
        runs = groups[entry.groups[0]].runs
        values = [run.summary.get("validation", {}).get(entry.method) for run in runs]
        if not values or any(value is None for value in values):
            continue
        means[n] = sum(values) / len(values)
        if notation.family(entry.method) == "baseline":
            continue
        metric = runs[0].summary["metric"]
        sign = 1 if notation.higher_is_better(metric) else -1
        stratum = (metric, tuple(sorted({validated_on(run) for run in runs})))
        held = best.get(stratum)
        if held is None or sign * means[n] > sign * means[held]:
            best[stratum] = n
    return means, frozenset(best.values())
