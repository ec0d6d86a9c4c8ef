"""Whether a run's folder is taken up, shown, or refused."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from metarun import manifest
from metarun.errors import MetarunError
from metarun.results import read_json

SUMMARY = "summary.json"


def take_up(folder: Path, cfg: DictConfig, data: dict[str, Any]) -> dict[str, Any] | None:
    """Return the summary of a finished run; None where there is something left to do.

    Raises:
        MetarunError: the folder holds a run of another config or of other data.
    """
    if not (folder / manifest.NAME).exists():
        return None
    differences = manifest.compare(folder, cfg, data)
    if differences:
        raise MetarunError(
            f"{folder} holds a run of another config or of other data ({'; '.join(differences)}). "
            "It is not touched; resume=never starts a new one beside it."
        )
    if (folder / SUMMARY).exists():
        print(f"{folder} is finished; resume=never runs it again beside it.", file=sys.stderr)
        found: dict[str, Any] = read_json(folder / SUMMARY)
        return found
    for warning in manifest.changed(folder):
        print(warning, file=sys.stderr)
    return None
