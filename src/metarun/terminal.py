"""Two columns on a terminal of any width; plain, unwrapped lines where the output is not a terminal."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

UNWRAPPED = 10**6


def console() -> Console:
    """Return a console that writes what it is given, coloured on a terminal only."""
    return Console(highlight=False, soft_wrap=True)


def width() -> int:
    """Return the columns to fill: the terminal's, COLUMNS, or no bound in a pipe or a file."""
    told = os.environ.get("COLUMNS", "")
    if told.isdigit() and int(told) > 0:
        return int(told)
    return min(console().width, 140) if sys.stdout.isatty() else UNWRAPPED


def title(screen: Console, name: str, aside: str = "") -> None:
    """Print the title of a section."""
    screen.print(Text.assemble((name, "bold"), "  " if aside else "", (aside, "dim")))


def rows(screen: Console, pairs: Sequence[tuple[str, str]]) -> None:
    """Print pairs side by side, or one above the other where the left column takes more than half of the width."""
    columns = width()
    left = max((len(name) for name, _ in pairs), default=0) + 2
    if left > columns * 0.55:
        for name, text in pairs:
            screen.print(Text.assemble("  ", (name, "cyan")))
            for line in textwrap.wrap(text, columns - 6):
                screen.print(Text(f"      {line}"))
    else:
        for name, text in pairs:
            lines = textwrap.wrap(text, columns - left - 2, break_on_hyphens=False) or [""]
            screen.print(Text.assemble("  ", (name.ljust(left) if lines[0] else name, "cyan"), lines[0]))
            for line in lines[1:]:
                screen.print(Text(" " * (left + 2) + line))
    screen.print()
