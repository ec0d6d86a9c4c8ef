"""From what a user types to a file of answers."""

from __future__ import annotations

import json
from pathlib import Path

from metarun.errors import MetarunError

ANSWERS, ARRAYS = "answers.ckpt", "arrays.ckpt"
ONLY_ARRAYS = "only runs on episodes (of unseen classes, functions or tables) answer for plain arrays"


def locate(run: str | Path, outputs: str | Path = "outputs", name: str = ANSWERS) -> Path:
    """Return the file `name` that `run` names: the file itself, its folder, or a run as `metarun report` finds it.

    Raises:
        MetarunError: there is no such run, it is not finished, or it has no answers.
    """
    path = Path(run).expanduser()
    if path.is_file():
        return path
    if (path / name).is_file():
        return path / name
    from metarun.report.runs import find_run
    from metarun.results import SUMMARY

    folder = find_run(str(path), outputs)
    if (folder / name).is_file():
        return folder / name
    if not (folder / SUMMARY).is_file():
        raise MetarunError(f"{folder} is not finished: the command that started it takes it up")
    raise MetarunError(f"{folder} has no {name}: {_why(folder) if name == ANSWERS else ONLY_ARRAYS}")


def of_arrays(run: str | Path, outputs: str | Path = "outputs") -> bool:
    """Return whether a finished run answers for arrays rather than for people."""
    path = Path(run).expanduser()
    if path.is_file():
        return path.name == ARRAYS
    if (path / ANSWERS).is_file() or (path / ARRAYS).is_file():
        return (path / ARRAYS).is_file()
    from metarun.report.runs import find_run

    return (find_run(str(path), outputs) / ARRAYS).is_file()


def _why(folder: Path) -> str:
    """Return why a finished run has no answers."""
    try:
        config = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["config"]
        tasks, split = config["dataset"].get("tasks", "users"), config["dataset"].get("split")
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        tasks, split = "users", None
    if split == "stream":
        return "dataset.split=stream judges one long stream and keeps no model to answer with"
    if tasks != "users":
        return f"dataset.tasks={tasks}, and only runs whose tasks are users answer for people"
    return "it was made by an older version of metarun, or its data has no items; run it again with resume=never"
