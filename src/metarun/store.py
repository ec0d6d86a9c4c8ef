"""What finished stages leave: one model.ckpt and one metrics.jsonl each, written by rename, never repeated."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch

from metarun import atomic
from metarun.results import write_jsonl

MODEL, METRICS, LAST = "model.ckpt", "metrics.jsonl", "last.ckpt"


class Store:
    """The checkpoints folder of a run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def place(self, key: str) -> Path:
        """Return the folder of a stage."""
        return self.folder / key

    def load(self, key: str) -> dict[str, Any] | None:
        """Return what a stage left, plain values and tensors; None if it is not finished."""
        path = self.place(key) / MODEL
        if not path.exists():
            return None
        found: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return found

    def save(self, key: str, content: dict[str, Any], rows: list[dict[str, Any]]) -> None:
        """Keep what a stage leaves; its running checkpoint goes."""
        place = self.place(key)
        place.mkdir(parents=True, exist_ok=True)
        write_jsonl(place / METRICS, rows)
        atomic.write(place / MODEL, lambda file: torch.save(content, file))
        (place / LAST).unlink(missing_ok=True)
        (place / LAST).with_suffix(".part").unlink(missing_ok=True)

    def rows(self) -> list[dict[str, Any]]:
        """Return the metrics of all finished stages, in the order of their keys."""
        found = []
        for path in sorted(self.folder.glob(f"*/{METRICS}")):
            found += [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return found

    def clear(self) -> None:
        """Forget everything."""
        shutil.rmtree(self.folder, ignore_errors=True)
