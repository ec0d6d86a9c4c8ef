"""What an earlier command has left of a job: nothing, a part, a finished run, or a run of another config or data."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from omegaconf import OmegaConf

from metarun import config, manifest
from metarun.errors import MetarunError
from metarun.launchers.base import Job
from metarun.results import SUMMARY


class Left(NamedTuple):
    """What is there: new | begun | finished | refused, and why it is refused."""

    state: str
    reason: str = ""


class Earlier:
    """Looks into the folders of jobs; data that several have in common is read once."""

    def __init__(self) -> None:
        self.data: dict[str, dict[str, Any]] = {}

    def left(self, job: Job) -> Left:
        """Return what there is of a job."""
        if not (job.folder / manifest.NAME).exists():
            return Left("new")
        try:
            cfg = config.compose(job.words)
            differences = manifest.compare(job.folder, cfg, self.described(cfg))
        except MetarunError as error:
            return Left("refused", str(error))
        if differences:
            return Left("refused", manifest.another(job.folder, differences))
        return Left("finished" if (job.folder / SUMMARY).exists() else "begun")

    def described(self, cfg: Any) -> dict[str, Any]:
        """Return what the dataset of a config is, with its checksum."""
        key = json.dumps(OmegaConf.to_container(cfg.dataset, resolve=True), sort_keys=True, default=str)
        if key not in self.data:
            from metarun import build  # with torch, which a first command does not need here

            self.data[key] = dict(build.dataset(cfg).describe())
        return self.data[key]
