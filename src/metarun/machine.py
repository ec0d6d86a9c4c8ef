"""What a run computes on and with: threads, versions, hardware, the commit of the code."""

from __future__ import annotations

import os
import platform
import subprocess
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("metarun", "torch", "pytorch-lightning", "numpy", "pandas", "hydra-core", "omegaconf")


def threads() -> int:
    """Return how many threads torch computes with."""
    import torch

    return torch.get_num_threads()


def cores() -> int:
    """Return how many cores this process may use, where the system tells; else how many there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def versions() -> dict[str, str | None]:
    """Return the installed version of Python and of each package, None where one is not installed as a package."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def hardware() -> dict[str, Any]:
    """Return what the run computes on."""
    import torch

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {"system": platform.platform(), "processor": processor(), "cores": os.cpu_count(), "gpus": gpus}


def processor() -> str:
    """Return the kind of processor; Python knows no more than "x86_64" on Linux."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def code() -> dict[str, Any]:
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
