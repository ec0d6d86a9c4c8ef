"""`--dry-run`: the jobs of a command as a table, every one of them composed and none of them run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from metarun import config
from metarun.errors import MetarunError
from metarun.launchers.base import Job, described
from metarun.launchers.earlier import Earlier, Left
from metarun.overrides import group, points, searches, space


def show(words: Sequence[str]) -> int:
    """Print the jobs of a command and return 0, or 2 where one would be refused."""
    console = Console()
    if searches(words):
        table = Table("searched", "over", box=None, pad_edge=False)
        swept = [word for word in words if any(word not in point for point in points(words))]
        for word in [*space(words), *swept]:
            table.add_row(*word.split("=", 1))
        console.print(table)
        console.print("the jobs are chosen as the search goes; its ends and choices were composed")
        return 0
    kept = [word for word in words if group(word).split("/")[0].split(".")[0] != "hydra"]
    jobs = described(list(points(kept, most=None)), 0)
    earlier, states, refused = Earlier(), [], []
    table = Table("job", "run", "state", "what it changes", box=None, pad_edge=False)
    for job in jobs:
        try:
            config.compose(job.words)
            found = earlier.left(job)
        except MetarunError as error:
            found = Left("refused", str(error))
        if found.reason:
            refused.append(f"job {job.number}: {found.reason}")
        states.append(found.state)
        table.add_row(str(job.number), job.folder.name, found.state, job.label)
    console.print(table, soft_wrap=not console.is_terminal)
    left = sum(state in ("new", "begun") for state in states)
    print(f"{len(jobs)} job{'s' if len(jobs) > 1 else ''}, {left} to do; folders in {common(jobs)}. Nothing was run.")
    for complaint in refused:
        print(f"metarun: {complaint}", file=sys.stderr)
    return 2 if refused else 0


def common(jobs: Sequence[Job]) -> str:
    """Return the folders that hold the runs."""
    return ", ".join(map(str, dict.fromkeys(Path(job.folder).parent for job in jobs)))
