"""Run folders as they are found: what can be compared, and one line for each that cannot."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from metarun.errors import MetarunError
from metarun.manifest import APART, FORMAT, leaves
from metarun.manifest import NAME as MANIFEST
from metarun.results import SUMMARY, Score, load_scores, read_json
from metarun.smoke import CUT

NEEDED = ("name", "run_id", "dataset", "synthetic", "metric", "test", "folder")
SCORES = "task_scores.npz"
UNSET = "(default)"


class Run(NamedTuple):
    """A finished run: its summary, its manifest ({} where there is none), what its command changed, its config."""

    folder: Path
    summary: Mapping[str, Any]
    manifest: Mapping[str, Any]
    words: Mapping[str, str]
    leaves: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The run's id, by which a reader finds it."""
        return str(self.summary["run_id"])


def read_runs(folders: Sequence[Path]) -> tuple[list[Run], list[str]]:
    """Return the finished runs, and a line for every folder that holds none: unfinished, broken, another format.

    Beside others a run that was cut short is left out too: it shows that it runs, and nothing else.
    """
    runs, lines = [], []
    for folder in map(Path, folders):
        try:
            found = _read(folder)
            if len(folders) > 1 and CUT in found.summary.get("setting", {}):
                raise MetarunError(f"no result: {folder} ({CUT} {found.summary['setting'][CUT]}); left out")
            runs.append(found)
        except MetarunError as error:
            lines.append(str(error))
    return runs, lines


def scores(run: Run) -> list[Score]:
    """Return the run's values of every test task; raises MetarunError where they are missing or broken."""
    return load_scores(run.folder / SCORES)


def value_of(run: Run, key: str) -> str:
    """Return what the run has for a key of its command: as resolved, the option of a group, or as it was typed."""
    if key in run.leaves:
        value = run.leaves[key]
        return value if isinstance(value, str) else json.dumps(value)
    composed = run.manifest.get("config", {}).get("composed", {})
    chosen = [str(option).removeprefix(f"{key}/") for option in composed.get("options", []) if _of(option, key)]
    if chosen:
        return ",".join(chosen)
    return run.words.get(key, UNSET)


def _of(option: object, key: str) -> bool:
    """Return whether an option belongs to a config group."""
    return str(option).startswith(f"{key}/")


def _read(folder: Path) -> Run:
    """Return the run in a folder; raises MetarunError with the line that says why there is none."""
    path = folder / SUMMARY
    if not path.exists():
        raise MetarunError(f"not finished: {folder} (the same command takes it up)")
    summary = read_json(path)
    if not isinstance(summary, dict):
        raise MetarunError(f"cannot read {path}: it holds no summary")
    # Summaries from before formats were counted have the same keys.
    version = summary.get("format", 0)
    if not isinstance(version, int) or version > FORMAT:
        raise MetarunError(f"newer format: {path} has format {version}, this metarun reads up to {FORMAT}; left out")
    missing = [key for key in NEEDED if key not in summary]
    if missing:
        age = "older format" if "format" not in summary else "incomplete"
        raise MetarunError(f"{age}: {path} has no {', '.join(missing)}; left out (run the same command again)")
    manifest = read_json(folder / MANIFEST) if (folder / MANIFEST).exists() else {}
    if not isinstance(manifest, dict) or not isinstance(manifest.get("config", {}), dict):
        raise MetarunError(f"cannot read {folder / MANIFEST}: it holds no manifest")
    settings = {key: value for key, value in manifest.get("config", {}).items() if key != "composed"}
    return Run(folder, summary, manifest, dict(_words(manifest)), dict(leaves(settings)))


def _words(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (key, value) of what the run's command changed, less what says where and how it ran."""
    for word in manifest.get("config", {}).get("composed", {}).get("overrides", []):
        key, _, value = str(word).lstrip("+~").partition("=")
        if re.split(r"[./@]", key)[0] not in APART:
            yield key, value
