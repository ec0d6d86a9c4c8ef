"""Recommendations on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from metarun import terminal
from metarun.answers.catalogue import without_year

if TYPE_CHECKING:
    from metarun.answers.api import Answers, Predictor, Recommendation, Recommendations
    from metarun.answers.command import Asked

SHORT = 22
"""Characters of a title among the reasons."""


def show(answers: Answers, person: Predictor, found: Recommendations, asked: Asked, why: str) -> None:
    """Print recommendations as a table, with the reasons for each, or `why` there are none."""
    console = Console(highlight=False, width=min(terminal.width(), 400))
    rows, what = len(person.support.item), "item" if answers.meaning.ranks else "rating"
    head = f"{rows} {what}{'s' * (rows != 1)} taken in by {answers.method}, {answers.dataset}"
    console.print(Text(head, style="bold"), soft_wrap=True)
    if person.note:
        console.print(Text(person.note), soft_wrap=True)
    if not found:
        console.print(Text(f"nothing is left to recommend: {why}"), soft_wrap=True)
        return
    reasons = asked.explain and rows > 0
    console.print(framed(answers, found, console, reasons))
    notes = [f"moved most by: what the score would lose without that {what}"] if reasons else []
    least = answers.least(asked.min_ratings, asked.candidates is not None)
    if least:
        notes.append(f"of the items with at least {least} ratings in training; --min-ratings sets how many")
    for note in notes:
        console.print(Text(note, style="dim"), soft_wrap=True)


def framed(answers: Answers, found: Recommendations, console: Console, reasons: bool) -> Table:
    """Return the table; without titles where they only repeat the ids."""
    unicode = console.encoding.lower().startswith("utf")
    named = any(one.title != str(one.item) for one in found)
    ids, titles = (max(len(str(cell)) for cell in cells) for cells in zip(*(one[1:3] for one in found), strict=True))
    room = console.width - ids - 16
    titles = min(titles, max(20, room // 2 if reasons else room))
    more = "ellipsis" if unicode else "crop"
    table = Table(box=box.SIMPLE_HEAD if unicode else box.ASCII2, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("", justify="right", no_wrap=True)
    table.add_column(
        "id", justify="right" if named else "left", no_wrap=True, style="dim" if named else "", min_width=ids
    )
    if named:
        table.add_column("title", no_wrap=True, overflow=more, min_width=titles, max_width=titles)  # type: ignore[arg-type]
    table.add_column("score" if answers.meaning.ranks else "rating", justify="right", no_wrap=True, min_width=6)
    if reasons:
        table.add_column("moved most by")
    largest = max((abs(reason.change) for one in found for reason in one.because), default=1.0)
    for one in found:
        cells = [str(one.rank), str(one.item), *([one.title] if named else []), f"{one.score:.2f}"]
        table.add_row(*map(Text, [*cells, *([because(one, unicode, 2 if largest >= 0.1 else 3)] if reasons else [])]))
    return table


def because(one: Recommendation, unicode: bool, digits: int) -> str:
    """Return the reasons in short: "Alien +.12; Matrix -.03"."""
    blank = "\N{NO-BREAK SPACE}" if unicode else " "  # a number stays with its title
    return "; ".join(f"{cut(reason.title, unicode)}{blank}{signed(reason.change, digits)}" for reason in one.because)


def cut(title: str, unicode: bool) -> str:
    """Return a title without its year, no longer than SHORT."""
    name = without_year(title)
    end = "\N{HORIZONTAL ELLIPSIS}" if unicode else "..."
    return name if len(name) <= SHORT else name[: SHORT - len(end)].rstrip(" ,") + end


def signed(value: float, digits: int = 2) -> str:
    """Return +.12, -.03, +1.20."""
    return f"{value:+.{digits}f}".replace("+0.", "+.").replace("-0.", "-.")
