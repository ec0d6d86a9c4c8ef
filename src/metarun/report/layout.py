"""The frame of every table: a title, aligned columns, a caption of whole sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from metarun.report.notation import plain

MOST = 400  # characters; no table is wider


def framed(
    title: str, heads: Sequence[str], rows: Sequence[Sequence[Text]], caption: str, unicode: bool = True
) -> Group:
    """Return a table of one text column and right-aligned columns, its title above and its caption below.

    heads: of the columns after the first; a row may stop after its first cell. Cells keep their trailing blanks, so
    a mark behind a number does not move the number. A single cell that is longer than the first column spans the line.
    """
    table = Table(box=box.SIMPLE_HEAD if unicode else box.ASCII2, show_edge=False, padding=0)
    table.add_column("", no_wrap=True)
    for column, head in enumerate(heads, start=1):
        cells = [row[column] for row in rows if len(row) > column]
        width = max([len(line) for line in head.split("\n")] + [len(cell) for cell in cells])
        lines = "\n".join(line.rjust(width) for line in plain(head, unicode).split("\n"))
        table.add_column(Text(lines), no_wrap=True, min_width=width)
        for cell in cells:
            cell.pad_left(width - len(cell))
    first = max((len(row[0]) for row in rows if len(row) > 1), default=MOST)
    long = {number: row[0] for number, row in enumerate(rows) if len(row) == 1 and len(row[0]) > first}
    for number, row in enumerate(rows):
        table.add_row(*([""] if number in long else row))
    shown = _Spanned(table, len(rows), long)
    return Group(Text(plain(title, unicode), style="bold"), shown, Text(plain(caption, unicode)))


class _Spanned:
    """A table of one-line rows, some of which are a text over all columns, broken between words where it is longer."""

    def __init__(self, table: Table, rows: int, long: Mapping[int, Text]) -> None:
        self.table, self.rows, self.long = table, rows, long

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = console.render_lines(self.table, options, pad=False)
        for number, line in enumerate(lines, start=self.rows - len(lines)):
            if number in self.long:
                yield self.long[number]
            else:
                yield from line
                yield Segment.line()

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement.get(console, options, self.table)
