"""What finished stages leave: one model.ckpt and one metrics.jsonl each, written by rename, never repeated."""

from __future__ import annotations

import io
import json
import pickle
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from metarun import atomic
from metarun.errors import MetarunError
from metarun.results import write_jsonl

MODEL, METRICS, LAST = "model.ckpt", "metrics.jsonl", "last.ckpt"
Tensors = dict[str, Tensor]


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
        return read(path) if path.exists() else None

    def save(self, key: str, content: dict[str, Any], rows: list[dict[str, Any]]) -> None:
        """Keep what a stage leaves; its running checkpoint goes."""
        place = self.place(key)
        write_jsonl(place / METRICS, rows)
        write(place / MODEL, content)
        (place / LAST).unlink(missing_ok=True)

    def rows(self) -> list[dict[str, Any]]:
        """Return the metrics of all finished stages: rounds in order, within one by name."""
        found = []
        for path in sorted(self.folder.glob(f"*/{METRICS}"), key=lambda path: in_order(path.parent.name)):
            if (path.parent / MODEL).exists():
                found += [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return found


def in_order(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts 2-meta before 10-meta, and own-... behind both."""
    return [(int(part), "") if part.isdigit() else (2**31, part) for part in re.split(r"(\d+)", name) if part]


def write(path: Path, content: dict[str, Any]) -> None:
    """Write plain values and tensors whole or not at all; raises MetarunError where the disk refuses."""
    # torch hides a full disk behind an error of its own when it writes to a file, so it writes to memory first.
    buffer = io.BytesIO()
    torch.save(content, buffer)
    atomic.write(path, lambda file: file.write(buffer.getbuffer()))


def read(path: Path) -> dict[str, Any]:
    """Return what `write` wrote, on the CPU, without running any code; raises MetarunError for a damaged file."""
    try:
        found: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, ValueError, LookupError, pickle.UnpicklingError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise MetarunError(
            f"cannot read {path} ({reason}): remove this file, and the same command does its stage again"
        ) from error
    return found


def own(tensors: Tensors) -> Tensors:
    """Return what a rule learned itself, without its model."""
    return {name: value for name, value in tensors.items() if "model." not in name}


def cpu(tensors: Tensors) -> Tensors:
    """Return copies on the CPU."""
    return {name: value.detach().cpu().clone() for name, value in tensors.items()}
