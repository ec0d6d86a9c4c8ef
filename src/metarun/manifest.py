"""manifest.json: what a run was made of, so that it can be taken up exactly or refused with the reason.

`compare` names what would make it another run (config, data); `changed` names what only may change the last bits
(threads, versions, code).
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from metarun import ranks
from metarun.results import read_json, write_json

NAME = "manifest.json"
# They say where and how a run is made, not what it is: the same groups that a run's id leaves out.
APART = ("resume", "paths", "logger", "hydra")
PACKAGES = ("metarun", "torch", "pytorch-lightning", "numpy", "pandas", "hydra-core", "omegaconf")
ABSENT = "(absent)"


def start(folder: Path, cfg: DictConfig, data: Mapping[str, Any]) -> dict[str, Any]:
    """Write the manifest of a new run, or add an attempt to the one that is there; return it.

    data: the dataset as resolved, with its checksum. Raises MetarunError where the folder cannot be written.
    """
    path = Path(folder) / NAME
    config = resolved(cfg)
    attempt = {
        "argv": sys.argv,
        "start": _now(),
        "end": None,
        "cpu_seconds": None,
        "gpu_seconds": None,
        "peak_memory_mb": None,
        "threads": _threads(),
        "processes": ranks.place().world,
        "hardware": _hardware(),
        "versions": _versions(),
        "code": _code(),
    }
    before = read_json(path)["attempts"] if path.exists() else []
    manifest = {
        "config_hash": hash_of(config),
        "config": config,
        "data": dict(data),
        "seeds": {key: value for key, value in _leaves(config) if key.split(".")[-1] in ("seed", "split_seed")},
        "start": before[0]["start"] if before else attempt["start"],
        "end": None,
        "attempts": [*before, attempt],
    }
    write_json(path, manifest)
    return manifest


def finish(folder: Path) -> dict[str, Any]:
    """Close the last attempt: its end, CPU seconds and peak memory of this process and its children; return it all."""
    path = Path(folder) / NAME
    manifest: dict[str, Any] = read_json(path)
    end = _now()
    attempt = manifest["attempts"][-1]
    attempt.update(end=end, **_usage(attempt["start"]))
    manifest["end"] = end
    write_json(path, manifest)
    return manifest


def compare(folder: Path, cfg: DictConfig, data: Mapping[str, Any]) -> list[str]:
    """Return what differs from the run in `folder`, one "backbone.dim: 32 -> 64" per key; empty if it is the same run.

    Raises MetarunError where the folder holds no readable manifest.
    """
    before = read_json(Path(folder) / NAME)
    now = json.loads(json.dumps({"config": resolved(cfg), "data": dict(data)}))
    lines = _differences(dict(_leaves(before["config"])), dict(_leaves(now["config"])))
    return lines + [f"data {line}" for line in _differences(dict(_leaves(before["data"])), dict(_leaves(now["data"])))]


def changed(folder: Path) -> list[str]:
    """Return a warning for each thing that may change the last bits since the last attempt: threads, versions, code."""
    last = {"processes": 1} | read_json(Path(folder) / NAME)["attempts"][-1]
    now = {"threads": _threads(), "processes": ranks.place().world, "versions": _versions(), "code": _code()}
    lines = _differences(dict(_leaves({key: last[key] for key in now})), dict(_leaves(now)))
    return [f"since the last attempt {line}: the last bits of the results may differ" for line in lines]


def hash_of(config: Mapping[str, Any]) -> str:
    """Return the sha256 of a resolved config, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(config, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def resolved(cfg: DictConfig) -> dict[str, Any]:
    """Return the config as plain values, without the groups APART.

    A value that only points into them (${paths.data}) stays as it is written: moving a folder is not another run.
    """
    raw = OmegaConf.to_container(cfg, resolve=False)
    values = OmegaConf.to_container(cfg, resolve=True)
    if not isinstance(raw, dict) or not isinstance(values, dict):
        raise TypeError("a run's config is a mapping")
    kept: dict[str, Any] = {str(k): _unless_apart(raw[k], v) for k, v in values.items() if k not in APART}
    return kept


def _unless_apart(raw: Any, value: Any) -> Any:
    """Return the value, or what was written where that points into a group that is left out."""
    if isinstance(raw, str):
        return raw if any(f"${{{group}." in raw for group in APART) else value
    if isinstance(raw, dict) and isinstance(value, dict):
        return {str(key): _unless_apart(raw[key], value[key]) for key in value}
    if isinstance(raw, list) and isinstance(value, list):
        return [_unless_apart(a, b) for a, b in zip(raw, value, strict=True)]
    return value


def _leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value); an empty mapping is a leaf, and so is a list as a whole."""
    if isinstance(tree, Mapping) and tree:
        for key, value in tree.items():
            yield from _leaves(value, f"{path}.{key}" if path else str(key))
    else:
        yield path, tree


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return "key: before -> now" for every leaf that differs, in the order of the keys."""
    return [
        f"{key}: {before.get(key, ABSENT)} -> {now.get(key, ABSENT)}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key, ABSENT) != now.get(key, ABSENT)
    ]


def _now() -> str:
    """Return the time in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _threads() -> int:
    """Return how many threads torch computes with."""
    import torch

    return torch.get_num_threads()


def _versions() -> dict[str, str | None]:
    """Return the installed version of Python and of each package, None where one is not installed as a package."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def _hardware() -> dict[str, Any]:
    """Return what the run computes on."""
    import torch

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    processor = platform.processor() or platform.machine()
    return {"system": platform.platform(), "processor": processor, "cores": os.cpu_count(), "gpus": gpus}


def _code() -> dict[str, Any]:
    """Return the commit of metarun's source and whether tracked files differ; None where git does not track it."""
    here = Path(__file__).resolve()

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(here.parent), *arguments], capture_output=True, text=True, timeout=10, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    # Installed into an environment that lies inside somebody else's repository: their commit is not ours.
    if git("ls-files", "--error-unmatch", here.name) is None:
        return {"commit": None, "dirty": None}
    changes = git("status", "--porcelain", "--untracked-files=no", "--", ".")
    return {"commit": git("rev-parse", "HEAD"), "dirty": None if changes is None else bool(changes)}


def _usage(start: str) -> dict[str, float | None]:
    """Return CPU seconds and peak memory of the process, and how long it held its GPUs, None where it used none."""
    import resource

    import torch

    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, kilobytes here
    held = None
    if torch.cuda.is_available() and torch.cuda.memory_allocated() + torch.cuda.max_memory_allocated() > 0:
        elapsed = datetime.now(UTC) - datetime.fromisoformat(start)
        held = round(elapsed.total_seconds(), 3)
    return {
        "cpu_seconds": round(own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime, 3),
        "gpu_seconds": held,
        "peak_memory_mb": round(max(own.ru_maxrss, children.ru_maxrss) / unit, 1),
    }
