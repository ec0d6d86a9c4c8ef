"""Several processes for one command on this machine: the command starts them, watches them and answers for them.

Each is `metarun` with the same words, and finds who it is in the environment (metarun.ranks). Only the first one speaks
on the terminal; what the others have to say is in files of the run's folder, which stay where something went wrong.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType

from omegaconf import DictConfig

from metarun import machine, manifest, processes, ranks, stopping
from metarun.config import FOLDER
from metarun.errors import MetarunError, PeerGone

GRACE = 15.0
"""Seconds that the others have after one has ended, and all after a second Ctrl-C."""


def run(words: Sequence[str], cfg: DictConfig, folder: Path) -> int:
    """Run `metarun WORDS` in as many processes as the config wants, and return the exit code of all.

    Raises:
        MetarunError: there are fewer GPUs than processes.
        Stopped: the run was asked to stop, and has.
    """
    count = ranks.local(cfg)
    check(cfg, count)
    environment = {
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(count),
        FOLDER: str(folder.resolve()),
    }  # fmt: skip
    logs = [folder / f"process-{number}.log" for number in range(1, count)]
    started: list[BaseProcess] = []
    with forwarding(started) as asked:
        for number, log in enumerate([None, *logs]):
            if not asked:
                own = {"RANK": str(number), "LOCAL_RANK": str(number)}
                started.append(processes.start(words, environment | own, log))
        if len(started) < count:  # nobody has begun: they have not met
            for process in started:
                process.kill()
        codes = ended(started, asked)
    if len(started) == count:
        manifest.killed(folder, started[0])
    if asked and (len(started) < count or codes[0] != 0):
        raise stopping.Stopped(asked[0])
    if not any(codes):
        for log in logs:
            log.unlink(missing_ok=True)
        return 0
    return blame(codes, logs)


def check(cfg: DictConfig, count: int) -> None:
    """Raise MetarunError where a process would have no GPU; warn where there are more threads than cores."""
    if cfg.trainer.accelerator == "gpu" and ranks.gpus() < count:
        raise MetarunError(
            f"trainer.devices={cfg.trainer.devices} with trainer.accelerator=gpu needs as many GPUs, and torch finds "
            f"{ranks.gpus()} here: lower trainer.devices, or use trainer=ddp_cpu"
        )
    cores = machine.cores()
    threads = cfg.trainer.threads or cores
    if threads * count > cores:
        print(
            f"trainer.devices={count} with trainer.threads={cfg.trainer.threads} are {threads * count} threads on "
            f"{cores} cores: they will fight over them",
            file=sys.stderr,
        )


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextmanager
def forwarding(started: Sequence[BaseProcess]) -> Iterator[list[int]]:
    """Pass on the signals that ask to stop to the first process started, which stops all; yield those that came."""
    asked: list[int] = []

    def forward(number: int, _frame: FrameType | None) -> None:
        asked.append(number)
        for pid in [process.pid for process in started[:1]]:
            assert pid is not None, "it has been started"
            with suppress(ProcessLookupError):  # it has ended
                os.kill(pid, number)

    before = {number: signal.signal(number, forward) for number in stopping.SIGNALS}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ended(started: Sequence[BaseProcess], asked: Sequence[int]) -> list[int]:
    """Wait until all have ended, and return their exit codes; leave none behind.

    The others have little time left when one has failed, and when the first has ended: it had the results to write.
    """
    deadline: float | None = None
    while running := [process for process in started if process.is_alive()]:
        over = started[0].exitcode is not None or any(process.exitcode for process in started)
        if deadline is None and (over or len(asked) > 1):
            deadline = time.monotonic() + GRACE
        left = 1.0 if deadline is None else deadline - time.monotonic()
        if left <= 0:
            for process in running:
                process.kill()
        wait([process.sentinel for process in running], timeout=min(1.0, max(left, 0.05)))
    return [int(process.exitcode or 0) for process in started]


def blame(codes: Sequence[int], logs: Sequence[Path]) -> int:
    """Say which process is to blame where it has not spoken for itself, and return the exit code of the command.

    One that a signal has killed comes first: the others only noticed.
    """
    noticed = (0, PeerGone.code)
    who = min(range(len(codes)), key=lambda i: (codes[i] >= 0, codes[i] != 1, codes[i] in noticed, codes[i] == 0, i))
    if who == 0 and codes[0] > 0:
        return codes[0]
    how = f"has ended with exit code {codes[who]}"
    if codes[who] < 0:
        how = f"was killed by {signal.Signals(-codes[who]).name}"
    said = f"; what it said is in {logs[who - 1]}" if who else ""
    print(
        f"metarun: process {who + 1} of {len(codes)} {how}, so the others have stopped{said}. "
        "The same command takes the run up where it was saved",
        file=sys.stderr,
    )
    return 1
