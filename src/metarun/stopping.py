"""How a run is asked to leave: Ctrl-C, and the signals by which a system says that its time is up.

While a stage trains, its loop finishes the step, saves and leaves (stages/loop.py); everywhere else the run leaves at
once: what it has written is whole, since files are renamed into place, and the same command takes it up.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


class Stopped(KeyboardInterrupt):
    """The run was asked to leave, by signal `number`."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number

    def __reduce__(self) -> tuple[type[Stopped], tuple[int]]:
        """Let the other processes of a run be told."""
        return Stopped, (self.number,)


def asked(error: BaseException | None) -> int | None:
    """Return the signal behind an error, None where none is: Lightning makes it an exit, a clean-up anything."""
    found: int | None = None
    while error is not None:
        if isinstance(error, Stopped):
            return error.number
        if isinstance(error, KeyboardInterrupt):
            found = signal.SIGINT
        error = error.__cause__ or error.__context__
    return found


def code(number: int) -> int:
    """Return the exit code of a command that a signal has stopped, as shells have it: 130 for Ctrl-C."""
    return 128 + number


def words(number: int) -> str:
    """Return "Stopped" for Ctrl-C and "Stopped by SIGTERM" for another signal."""
    return "Stopped" if number == signal.SIGINT else f"Stopped by {signal.Signals(number).name}"


def killed(number: int) -> str:
    """Return what is said of a process that a signal has ended by force.

    >>> killed(9)
    'killed by SIGKILL, perhaps for memory'
    """
    name = signal.Signals(number).name
    return f"killed by {name}" + (", perhaps for memory" if number == signal.SIGKILL else "")


@contextmanager
def listening() -> Iterator[None]:
    """Raise Stopped where one of SIGNALS arrives; afterwards the handlers are as they were before."""
    with restored():
        if in_main_thread():
            first: list[int] = []

            def leave(number: int, _frame: FrameType | None) -> None:
                # SLURM may tell twice; only a second Ctrl-C is somebody who does not want to wait for the clean-up.
                if not first or number == signal.SIGINT:
                    first.append(number)
                    raise Stopped(number)

            for number in SIGNALS:
                signal.signal(number, leave)
        yield


@contextmanager
def restored() -> Iterator[None]:
    """Give the handlers back as they were."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        if in_main_thread():
            for number, handler in before.items():
                if handler is not None:  # None: it was not set from Python
                    signal.signal(number, handler)


def in_main_thread() -> bool:
    """Return whether Python lets us set handlers here."""
    return threading.current_thread() is threading.main_thread()
