"""Means over seeds, and paired differences of such means, with 95 % intervals that cover tasks and seeds.

A replicate is one run's value of a metric and the influence of each test task on it (metrics/interval.py). The
replicates of one block were tested on the same tasks; blocks (splits that are averaged over) on others.

One block: value = mean over its S seeds, variance = s2(tasks) / T + s2(seeds) / S, where s2(tasks) is over the tasks'
influences averaged over seeds and s2(seeds) over the seeds' values. Noise that is both a task's and a seed's is in both
terms: conservative. Several blocks: variance = s2(blocks) / B, for each block has drawn its own tasks; never less than
the blocks' own variances say, for blocks that happen to agree are not more certain than their tasks.
The degrees of freedom are Satterthwaite's. With one seed and one block it is the interval of a single run.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metarun.metrics.interval import quantile
from metarun.metrics.student import quantile_95, two_sided

Array = NDArray[np.float64]
Place = tuple[object, ...]
"""Which tasks a block holds: equal for the same ones."""


class Replicate(NamedTuple):
    """A value and the influence of each task on it, (T,) with mean 0, tasks in the order of their ids."""

    value: float
    influence: Array


Blocks = Mapping[Place, Mapping[tuple[str, ...], Replicate]]
"""{tasks: {what tells a replicate from the others: replicate}}."""


class Pooled(NamedTuple):
    """A mean or a difference of means: half-width of its 95 % interval, tasks, replicates, p-value against 0."""

    value: float
    ci95: float
    tasks: int
    replicates: int
    p: float


class Part(NamedTuple):
    """A variance of the mean and its degrees of freedom."""

    variance: float
    freedom: float


def mean(blocks: Blocks) -> Pooled:
    """Return the mean over blocks of the means over replicates."""
    each = {place: _of([list(found.values())]) for place, found in blocks.items()}
    return _pool(each, sum(len(found) for found in blocks.values()))


def difference(a: Blocks, b: Blocks) -> Pooled | None:
    """Return a - b on identical tasks, None where they were not tested on the same ones.

    Replicates of the same names (seeds) are paired as well; of other names their variances add.
    """
    if set(a) != set(b):
        return None
    each = {}
    for place, ours in a.items():
        theirs = b[place]
        if ours.keys() == theirs.keys():
            with np.errstate(invalid="ignore"):
                pairs = [
                    Replicate(one.value - theirs[name].value, one.influence - theirs[name].influence)
                    for name, one in ours.items()
                ]
            each[place] = _of([pairs])
        else:
            other = [Replicate(-one.value, -one.influence) for one in theirs.values()]
            each[place] = _of([list(ours.values()), other])
    return _pool(each, sum(len(found) for found in a.values()))


class _Block(NamedTuple):
    value: float
    parts: list[Part]
    tasks: int


def _of(samples: Sequence[Sequence[Replicate]]) -> _Block:
    """Return the sum of the means of independent samples of replicates on the same tasks."""
    with np.errstate(invalid="ignore", over="ignore"):
        value = sum(float(np.mean([one.value for one in sample])) for sample in samples)
        influence = np.sum([np.mean([one.influence for one in sample], axis=0) for sample in samples], axis=0)
        tasks = len(influence)
        parts = [Part(float(influence.var(ddof=1)) / tasks, tasks - 1)] if tasks > 1 else [Part(math.nan, math.nan)]
        for sample in samples:
            if len(sample) > 1:
                spread = float(np.var([one.value for one in sample], ddof=1))
                parts.append(Part(spread / len(sample), len(sample) - 1))
    return _Block(value, parts, tasks)


def _pool(blocks: Mapping[Place, _Block], replicates: int) -> Pooled:
    """Return the mean over blocks; of one block its own variance, of several that between them."""
    each = list(blocks.values())
    tasks = sum(block.tasks for block in each)
    if len(each) == 1:
        value, parts = each[0].value, each[0].parts
    else:
        values = [block.value for block in each]
        with np.errstate(invalid="ignore"):
            value = float(np.mean(values))
            between = float(np.var(values, ddof=1)) / len(values)
            within = float(np.mean([sum(part.variance for part in block.parts) for block in each])) / len(values)
        parts = [Part(max(between, within), len(values) - 1)]
    if not math.isfinite(value):
        return Pooled(value, math.nan, tasks, replicates, math.nan)
    half, p = _interval(value, parts)
    return Pooled(value, half, tasks, replicates, p)


def _interval(value: float, parts: Iterable[Part]) -> tuple[float, float]:
    """Return the half-width of the 95 % interval and the two-sided p-value against 0; (nan, nan) of one task."""
    known = list(parts)
    variance = sum(part.variance for part in known)
    if math.isnan(variance):
        return math.nan, math.nan
    if variance == 0:
        return 0.0, float(value == 0)
    freedom = variance**2 / sum(part.variance**2 / part.freedom for part in known)
    error = math.sqrt(variance)
    # One seed and one split: as in the run's own table, where 1.96 stands for Student's quantile of many tasks.
    wide = quantile(round(known[0].freedom) + 1) if len(known) == 1 else quantile_95(freedom)
    return wide * error, two_sided(value / error, freedom)
