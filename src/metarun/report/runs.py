"""From what a user types to run folders: a path, `latest`, an experiment's name, or the start of a run's id.

`latest` is the run that was started last, with the other jobs of its sweep where it was one of a sweep.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import yaml

from metarun.errors import MetarunError, did_you_mean
from metarun.results import SUMMARY

ALLOWED = "a run's folder, `latest`, an experiment's name, or the first digits of a run's id"


SWEEP = "multirun.yaml"


def find_runs(refs: Sequence[str], outputs: str | Path = "outputs") -> list[Path]:
    """Return the folders of the runs that `refs` name, each once, oldest first within a reference.

    Raises MetarunError where a reference names no run, or the start of more than one id.
    """
    runs = _below(Path(outputs))
    found = [run for ref in refs for run in _one(str(ref), Path(outputs), runs)]
    return list(dict.fromkeys(found))


def find_run(ref: str, outputs: str | Path = "outputs") -> Path:
    """Return the one run that `ref` names; of an experiment's runs, the latest."""
    return find_runs([ref], outputs)[-1]


def _one(ref: str, outputs: Path, runs: list[Path]) -> list[Path]:
    """Return the runs of one reference."""
    if Path(ref).name == SWEEP:  # stands beside the runs of a sweep, so outputs/NAME/* names it too
        return []
    if ref == "latest":
        if not runs:
            raise MetarunError(f"no run in {outputs} yet: start one, or name another folder with paths.outputs=FOLDER.")
        return _with_its_sweep(runs)
    # A folder of the same name without a run in it does not hide an experiment.
    for folder in (Path(ref), outputs / ref) if ref else ():
        if _is_run(folder):
            return [folder]
        inside = _below(folder)
        if inside:
            return inside
    exact = [run for run in runs if run.name == ref]
    starts = exact or [run for run in runs if ref and run.name.startswith(ref)]
    if len(starts) == 1:
        return starts
    if starts:
        raise MetarunError(f"'{ref}' is the start of {len(starts)} runs: {', '.join(map(str, starts))}.")
    known = {run.parent.name for run in runs} | {run.name for run in runs}
    raise MetarunError(f"no run '{ref}' in {outputs}: give {ALLOWED}.{did_you_mean(ref, known)}")


def _with_its_sweep(runs: list[Path]) -> list[Path]:
    """Return the run that was started last, behind those that the same sweep over a grid asked for."""
    from metarun import config, overrides

    latest = runs[-1]
    try:
        told = yaml.safe_load((latest.parent / SWEEP).read_text(encoding="utf-8"))
        words = [str(word) for word in told["hydra"]["overrides"]["task"]]
    except (OSError, yaml.YAMLError, LookupError, TypeError):
        return [latest]
    if overrides.searches(words):
        return [latest]
    names = {config.run_id(point) for point in overrides.points(words, None)}
    if latest.name.partition(".")[0] not in names:
        return [latest]
    newest = {run.name.partition(".")[0]: run for run in runs if run.parent == latest.parent}
    return [run for name, run in newest.items() if name in names]


def _below(folder: Path) -> list[Path]:
    """Return the run folders up to three levels below, by the time they were last started."""
    if not folder.is_dir():
        return []
    names = [f"{'*/' * depth}{name}" for depth in (1, 2, 3) for name in ("manifest.json", SUMMARY)]
    runs = {path.parent for name in names for path in folder.glob(name)}
    return sorted(runs, key=lambda run: (_started(run), str(run)))


def _is_run(folder: Path) -> bool:
    """Return whether a run was started here."""
    return (folder / "manifest.json").is_file() or (folder / SUMMARY).is_file()


def _started(run: Path) -> str:
    """Return when the last attempt began; the manifest's own time, so that copying a run does not make it newer."""
    try:
        return str(json.loads((run / "manifest.json").read_text(encoding="utf-8"))["attempts"][-1]["start"])
    except (OSError, ValueError, LookupError, TypeError):
        return ""
