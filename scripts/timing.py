"""What the benchmarks share: contenders that take turns, so that other work on the machine hurts all of them alike."""

from __future__ import annotations

import platform
import shlex
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch


def interleaved(contenders: dict[str, Callable[[], object]], turns: int) -> dict[str, float]:
    """Return the median seconds of each contender over `turns` rounds, in each of which all run once in turn."""
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(turns):
        for name, run in contenders.items():
            began = time.perf_counter()
            run()
            taken[name].append(time.perf_counter() - began)
    return {name: statistics.median(times) for name, times in taken.items()}


def header(arguments: list[str]) -> None:
    """Print the command, the machine, the number of threads and the versions."""
    print(f"$ python {shlex.join([f'scripts/{Path(sys._getframe(1).f_code.co_filename).name}', *arguments])}")
    print(
        f"{processor()}, {platform.system()}, {torch.get_num_threads()} thread(s), "
        f"Python {platform.python_version()}, torch {torch.__version__}"
    )


def processor() -> str:
    """Return the name of the processor as the system tells it."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text(encoding="utf-8").splitlines() if told.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def table(columns: list[str], rows: list[list[str]]) -> None:
    """Print rows under their columns, aligned to the right but for the first column."""
    widths = [max(len(row[i]) for row in [columns, *rows]) for i in range(len(columns))]
    for row in [columns, *rows]:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))]
        print("  ".join(cells).rstrip())


def verdict(bars: list[tuple[str, bool]]) -> int:
    """Print whether each bar was reached and return the exit code: 1 if one was missed."""
    for text, reached in bars:
        print(f"{'reached' if reached else 'MISSED'}: {text}")
    return 0 if all(reached for _, reached in bars) else 1
