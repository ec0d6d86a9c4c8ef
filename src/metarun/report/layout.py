"""The frame of every table: a title, aligned columns, a caption of whole sentences."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from metarun.report.notation import plain


def framed(
    title: str, heads: Sequence[str], rows: Sequence[Sequence[Text]], caption: str, unicode: bool = True
) -> Group:
    """Return a table of one text column and right-aligned columns, its title above and its caption below.

    heads: of the columns after the first; a row may stop after its first cell. Cells keep their trailing blanks, so
    a mark behind a number does not move the number.
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
    for row in rows:
        table.add_row(*row)
    return Group(Text(plain(title, unicode), style="bold"), table, Text(plain(caption, unicode)))
