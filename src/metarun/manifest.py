"""manifest.json: what a run was made of, so that it can be taken up exactly or refused with the reason.

`compare` names what would make it another run (config, data); `changed` names what only may change the last bits
(threads, versions, processors, code).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from metarun import machine, memory, ranks, stopping
from metarun.errors import MetarunError
from metarun.results import SUMMARY, read_json, write_json

NAME, FORMAT, FINISHED = "manifest.json", 1, "finished"
# They say where and how a run is made, not what it is: the same groups that a run's id leaves out.
APART = ("resume", "paths", "logger", "hydra")
ABSENT = "(absent)"


class Attempt:
    """The manifest of a run while one attempt at it is under way: the last of its `attempts`."""

    def __init__(self, folder: Path, content: dict[str, Any]) -> None:
        self.path, self.content = Path(folder) / NAME, content
        memory.begin()
        self.began, self.cpu = time.monotonic(), _cpu_seconds()
        self.others = 0.0
        """CPU seconds of the other processes of the run, known when they have done their part."""

    @property
    def last(self) -> dict[str, Any]:
        """This attempt's own entry."""
        entry: dict[str, Any] = self.content["attempts"][-1]
        return entry

    def save(self) -> None:
        """Write what the attempt has used so far, so that a process killed by force leaves the last known values.

        Raises MetarunError where the disk refuses.
        """
        gpu = memory.gpu_peak()
        self.last.update(
            cpu_seconds=round(_cpu_seconds() - self.cpu + self.others, 3),
            gpu_seconds=None if gpu is None else round(time.monotonic() - self.began, 3),
            peak_memory_mb=memory.peak(),
            peak_gpu_memory_mb=gpu,
        )
        write_json(self.path, self.content)

    def close(self, why: str) -> None:
        """Write the end of the attempt and why it ended; the first reason stands."""
        if self.last["exit"] is None:
            end = _now()
            self.last.update(end=end, exit=why)
            self.content["end"] = end if why == FINISHED else None
            self.save()


@contextmanager
def attempt(folder: Path, cfg: DictConfig, data: Mapping[str, Any]) -> Iterator[Attempt]:
    """Keep the manifest of an attempt at a run: it opens here, and however the work ends the reason is written down.

    Raises MetarunError where the folder cannot be written.
    """
    opened = start(folder, cfg, data)
    try:
        yield opened
    except BaseException as error:
        with contextlib.suppress(MetarunError):  # a full disk must not hide what went wrong
            opened.close(reason(error))
        raise
    opened.close(FINISHED)


def start(folder: Path, cfg: DictConfig, data: Mapping[str, Any]) -> Attempt:
    """Write the manifest of a new run, or add an attempt to the one that is there; return it.

    data: the dataset as resolved, with its checksum. Raises MetarunError where the folder cannot be written.
    """
    config = resolved(cfg)
    entry = {
        "argv": sys.argv,
        "start": _now(),
        "end": None,
        "exit": None,  # finished | stopped by SIGNAL | killed by SIGNAL | failed: one line; null while it runs
        "cpu_seconds": None,
        "gpu_seconds": None,  # how long it held a GPU
        "peak_memory_mb": None,  # of the first process alone, as on the GPU: the peaks of several need not coincide
        "peak_gpu_memory_mb": None,
        "threads": machine.threads(),
        "processes": ranks.place().world,
        "pid": os.getpid(),
        "hardware": machine.hardware(),
        "versions": machine.versions(),
        "code": machine.code(),
    }
    before = load(folder)["attempts"] if (Path(folder) / NAME).exists() else []
    opened = Attempt(folder, {
        "format": FORMAT,
        "config_hash": hash_of(config),
        "config": config,
        "data": dict(data),
        "model": None,  # see `contest.model_facts`; known when the run is finished
        "seeds": {key: value for key, value in leaves(config) if key.split(".")[-1] in ("seed", "split_seed")},
        "start": before[0]["start"] if before else entry["start"],
        "end": None,
        "attempts": [*before, entry],
    })  # fmt: skip
    opened.save()
    return opened


def settle(folder: Path) -> None:
    """Close the last attempt at a finished run whose process died between the summary and the end of its manifest.

    Raises MetarunError where the manifest cannot be read or written.
    """
    content = load(folder)
    if content["attempts"][-1]["exit"] is None:
        end = _text(datetime.fromtimestamp((Path(folder) / SUMMARY).stat().st_mtime, UTC))
        content["attempts"][-1].update(end=end, exit=FINISHED)
        content["end"] = end
        write_json(Path(folder) / NAME, content)


def killed(folder: Path, process: BaseProcess) -> None:
    """Write by which signal a process was killed into the attempt that it left open; for the one who started it."""
    number = -(process.exitcode or 0)
    if number <= 0 or not (Path(folder) / NAME).exists():
        return
    with contextlib.suppress(MetarunError):  # a full disk must not hide what went wrong
        if (Path(folder) / SUMMARY).exists():
            settle(folder)
            return
        content = load(folder)
        entry = content["attempts"][-1]
        if entry["exit"] is None and entry.get("pid") == process.pid:  # else it died before it came to its own
            entry.update(end=_now(), exit=stopping.killed(number))
            write_json(Path(folder) / NAME, content)


def reason(error: BaseException) -> str:
    """Return why an attempt ended with this error, in one line.

    >>> reason(KeyboardInterrupt()), reason(ValueError("no"))
    ('stopped by SIGINT', 'failed: ValueError: no')
    """
    number = stopping.asked(error)
    if number is not None:
        return f"stopped by {signal.Signals(number).name}"
    if memory.exhausted(error):
        return f"failed: {memory.complaint(error)}"
    line = (str(error).splitlines() or [""])[0]
    return f"failed: {line}" if isinstance(error, MetarunError) else f"failed: {type(error).__name__}: {line}"


def load(folder: Path) -> dict[str, Any]:
    """Return the manifest in a run's folder. Raises MetarunError where it cannot be read or is of another format."""
    found = read_json(Path(folder) / NAME)
    said = found.get("format") if isinstance(found, dict) else None
    if said != FORMAT:
        age = "a newer" if isinstance(said, int) and said > FORMAT else "an older"
        raise MetarunError(
            f"{folder} was written by {age} metarun (format {said if said is not None else 'without a number'}, this "
            f"one reads {FORMAT}). It is not touched; resume=never starts a new run beside it, or use that version."
        )
    manifest: dict[str, Any] = found
    return manifest


def compare(folder: Path, cfg: DictConfig, data: Mapping[str, Any]) -> list[str]:
    """Return what differs from the run in `folder`, one "backbone.dim: 32 -> 64" per key; empty if it is the same run.

    Raises MetarunError where the folder holds no readable manifest.
    """
    before = load(folder)
    now = json.loads(json.dumps({"config": resolved(cfg), "data": dict(data)}))
    lines = _differences(dict(leaves(before["config"])), dict(leaves(now["config"])))
    return lines + [f"data {line}" for line in _differences(dict(leaves(before["data"])), dict(leaves(now["data"])))]


def another(folder: Path, differences: Sequence[str]) -> str:
    """Return why a run is not taken up."""
    return (
        f"{folder} holds a run of another config or of other data ({'; '.join(differences)}). "
        "It is not touched; resume=never starts a new one beside it."
    )


def changed(folder: Path) -> list[str]:
    """Return a warning for each thing that may change the last bits since the last attempt."""
    last = load(folder)["attempts"][-1]
    now = {
        "threads": machine.threads(), "processes": ranks.place().world,
        "hardware": machine.hardware(), "versions": machine.versions(), "code": machine.code(),
    }  # fmt: skip
    lines = _differences(_computing(last), _computing(now))
    return [f"since the last attempt {line}: the last bits of the results may differ" for line in lines]


def _computing(attempt: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an attempt has computed with, without what changes no bit."""
    kept = {key: attempt[key] for key in ("threads", "processes", "versions", "code")}
    hardware = {key: attempt["hardware"][key] for key in ("processor", "gpus")}
    return dict(leaves({**kept, "hardware": hardware}))


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
    if "composed" in kept:
        kept["composed"]["options"] = [o for o in kept["composed"]["options"] if o.split("/")[0] not in APART]
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


def leaves(tree: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value); an empty mapping within is a leaf, and so is a list as a whole.

    >>> dict(leaves({"a": {"b": 1, "c": {}}, "d": [1, 2]}))
    {'a.b': 1, 'a.c': {}, 'd': [1, 2]}
    """
    for key, value in tree.items():
        place = f"{path}.{key}" if path else str(key)
        if isinstance(value, Mapping) and value:
            yield from leaves(value, place)
        else:
            yield place, value


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return "key: before -> now" for every leaf that differs, in the order of the keys."""
    return [
        f"{key}: {before.get(key, ABSENT)} -> {now.get(key, ABSENT)}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key, ABSENT) != now.get(key, ABSENT)
    ]


def _now() -> str:
    """Return the time in UTC."""
    return _text(datetime.now(UTC))


def _text(moment: datetime) -> str:
    """Return a time to the millisecond."""
    return moment.isoformat(timespec="milliseconds")


def _cpu_seconds() -> float:
    """Return the CPU time of this process and of its children that have ended."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)
