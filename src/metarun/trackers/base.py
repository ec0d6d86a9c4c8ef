"""The contract of a tracker, and what all that stand on Lightning's loggers share."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from metarun.errors import MetarunError

Row = dict[str, Any]


class Results(NamedTuple):
    """What a finished run leaves: the lines of metrics.jsonl that are not a curve, pictures, and its manifest."""

    table: list[Row]
    plots: list[Path]
    manifest: dict[str, Any]


class Tracker:
    """One place for a run's numbers. A class of your own takes `folder`, `run` (experiment and run id) and its fields.

    A run that is taken up opens its tracker again and goes on in the same place.
    """

    hurry = False
    """Whether the run was asked to leave: what takes longer than some seconds to `close` is cut off by force then."""

    def begin(self, config: dict[str, Any]) -> None:
        """Open it, with the resolved config as hyper-parameters."""
        raise NotImplementedError

    def log(self, stage: str, step: int, values: dict[str, float]) -> None:
        """Take numbers of one step; steps are counted per stage and sent in order."""
        raise NotImplementedError

    def results(self, results: Results) -> None:
        """Take what the finished run leaves."""
        raise NotImplementedError

    def close(self) -> None:
        """Write what is still held."""
        raise NotImplementedError


def require(package: str, option: str) -> None:
    """Raise MetarunError where a package that an option needs is not installed; imports nothing."""
    if find_spec(package) is None:
        raise MetarunError(f"{option} needs the package {package}: pip install 'metarun[trackers]'")


def flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a nested config with dotted names; lists as text.

    >>> flat({"a": {"b": 1}, "c": [1, 2]})
    {'a.b': 1, 'c': '[1, 2]'}
    """
    found: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        else:
            plain = value is None or isinstance(value, (bool, int, float, str))
            found[f"{prefix}{key}"] = value if plain else str(value)
    return found


def columns(table: list[Row]) -> list[str]:
    """Return the names of a table's columns, less those that are empty in every row."""
    return [name for name in (table[0] if table else ()) if any(row[name] is not None for row in table)]
