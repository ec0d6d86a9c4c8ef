"""metarun commands in processes of their own, forked from one that has imported everything and computed nothing.

The imports are paid once however many processes are started, and nothing of one command is left for the next.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NoReturn

CONTEXT = multiprocessing.get_context("forkserver")
PRELOADED = ("metarun.preload",)


def start(words: Sequence[str], environment: Mapping[str, str] | None = None, log: Path | None = None) -> BaseProcess:
    """Start the single run `metarun WORDS` and return its process; its exit code is the command's.

    environment: added to ours. log: takes all that the command prints; None leaves it to our own terminal.
    The command dies with this process, as if killed: what it has saved is whole and is taken up by the next one.
    """
    CONTEXT.set_forkserver_preload(list(PRELOADED))
    process = CONTEXT.Process(target=_command, args=(list(words), {**os.environ, **(environment or {})}, log))
    process.start()
    return process


def _command(words: list[str], environment: dict[str, str], log: Path | None) -> None:
    os.setpgrp()  # Ctrl-C reaches the one who started us, and that one stops us
    threading.Thread(target=_die_with_parent, daemon=True).start()
    perform(words, environment, log)


def perform(words: Sequence[str], environment: Mapping[str, str], log: Path | None) -> NoReturn:
    """Do a single run in this process, which has been made for it, and end with the exit code of the command."""
    os.environ.clear()  # what it was when the first command was started
    os.environ.update(environment)
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as file:
            for number in (1, 2):
                os.dup2(file.fileno(), number)
    from metarun.cli import job

    sys.argv = ["metarun", *words]
    code = job(list(words))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # a library's thread that still runs must not keep the process


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
