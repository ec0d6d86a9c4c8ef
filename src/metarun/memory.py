"""How much memory a run has taken, how much it may take, and the one line for a run that wanted more."""

from __future__ import annotations

import os
import re
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from metarun.errors import MetarunError

WORDS = ("DefaultCPUAllocator: can't allocate memory", "DefaultCPUAllocator: not enough memory", "std::bad_alloc")
"""What torch says on the CPU, in an error that is nothing but a RuntimeError."""


OWN = Path("/proc/self")


def begin() -> None:
    """Forget the peaks so far, where the system can: a process of a sweep makes one run after another."""
    with suppress(OSError):  # no Linux, or a sandbox
        (OWN / "clear_refs").write_text("5", encoding="ascii")
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()


def peak() -> float:
    """Return the most memory in MB that this process has held since `begin`; elsewhere than on Linux, ever."""
    try:
        found = re.search(r"^VmHWM:\s+(\d+) kB$", (OWN / "status").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        found = None
    if found:
        return round(int(found[1]) / 2**10, 1)
    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, kilobytes here
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)


def limit() -> tuple[float, str]:
    """Return the least MB that anything allows this process, and what allows it: ulimit, a control group, the machine.

    >>> megabytes, who = limit()
    >>> megabytes > 0 and who in ("ulimit -v", "ulimit -d", "control group", "machine")
    True
    """
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    found = [(pages / 2**20, "machine")]
    for kind, name in ((resource.RLIMIT_AS, "ulimit -v"), (resource.RLIMIT_DATA, "ulimit -d")):
        soft = resource.getrlimit(kind)[0]
        if soft != resource.RLIM_INFINITY:
            found.append((soft / 2**20, name))
    found += [(value / 2**20, "control group") for value in _groups()]
    return min(found)


def _groups() -> Iterator[int]:
    """Yield the limits in bytes of the control groups that this process is in, where they can be read."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:  # no Linux
        return
    root = Path("/sys/fs/cgroup")
    for line in lines:
        _, controllers, inside = line.split(":", 2)
        first = root / "memory" if "memory" in controllers.split(",") else root
        name = "memory.limit_in_bytes" if first != root else "memory.max"
        place = first / inside.lstrip("/")
        for folder in (place, *place.parents):  # a group may take no more than the groups around it
            try:
                text = (folder / name).read_text(encoding="utf-8").strip()
            except OSError:
                text = ""
            if text.isdigit():
                yield int(text)
            if folder == root:
                break


def exhausted(error: BaseException | None) -> bool:
    """Return whether an error, or one behind it, says that memory ran out, on the CPU or on a GPU."""
    while error is not None:
        if isinstance(error, MemoryError) or _on_gpu(error) or any(word in str(error) for word in WORDS):
            return True
        error = error.__cause__ or error.__context__
    return False


def _on_gpu(error: BaseException) -> bool:
    """Return whether it is torch's error for a full GPU; torch need not be imported to tell."""
    return type(error).__name__ == "OutOfMemoryError"


def complaint(error: BaseException) -> str:
    """Return the line for a run that wanted more memory than there is."""
    taken, (megabytes, who) = peak(), limit()
    if _on_gpu(error):
        import torch

        taken, megabytes = gpu_peak() or 0.0, torch.cuda.get_device_properties(0).total_memory / 2**20
        who = torch.cuda.get_device_name(0)
    return (
        f"out of memory: peak {taken:,.0f} MB, limit {megabytes:,.0f} MB ({who}); "
        "lower evaluate.chunk, pipeline.meta.tasks or backbone.dim"
    )


def gpu_peak() -> float | None:
    """Return the most memory in MB that tensors have held on the GPU since `begin`; None where none was used."""
    import torch

    most = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
    return round(most / 2**20, 1) if most else None


@contextmanager
def told() -> Iterator[None]:
    """Turn an error that says that memory ran out into a MetarunError of one line."""
    try:
        yield
    except Exception as error:
        if not exhausted(error):
            raise
        raise MetarunError(complaint(error)) from error
